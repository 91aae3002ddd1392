"""Where a wire format comes from."""

from __future__ import annotations

from tokenbench.load.codecs import BUILT_IN
from tokenbench.plan.catalog import Catalog


def codec_plugin(catalog: Catalog, name: str) -> str | None:
    """The module that registers a wire format, None for a built-in one.

    Worker processes import it themselves. It is loaded here first, so that a broken one is told
    before anything is started.
    """
    if name in BUILT_IN:
        return None
    catalog.spec("codec", name)
    return catalog.module("codec", name)
