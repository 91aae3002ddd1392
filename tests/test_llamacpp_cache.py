"""The real server empties its cache."""

from __future__ import annotations

import pytest

from tokenbench.harness.servers import real_server


@pytest.mark.real
@pytest.mark.proves("llamacpp", "reset_cache", "prefix_caching_off")
@pytest.mark.parametrize("caching", [True, False])
def test_the_cache_of_a_real_server_is_emptied(caching: bool) -> None:
    """Whether it keeps prompts or not."""
    pytest.importorskip("xllamacpp")
    with real_server("llamacpp", {"prefix_caching": caching}, "smollm2") as server:
        assert server.engine.reset_cache(server.control) is True
        assert server.settle() is None
