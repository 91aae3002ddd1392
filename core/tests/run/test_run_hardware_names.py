"""The hardware of a result, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import HardwareFacts, Layout, Pool, Topology
from tokenbench.run.results import _hardware, _role_hardware


def _facts(sku: str) -> HardwareFacts:
    return HardwareFacts(kind="gpus", sku=sku, count=8)


def _pool(role: str, sku: str | None = None, *, tp: int = 4, **more: Any) -> Pool:
    hardware = None if sku is None else _facts(sku)
    return Pool(role=role, topology=Topology(tp=tp), hardware=hardware, **more)


@pytest.mark.parametrize(
    ("pools", "whole", "roles"),
    [
        ((_pool("server"),), "h100", None),
        ((_pool("prefill"), _pool("decode", "h100")), "h100", None),
        (
            (_pool("prefill", replicas=2), _pool("decode", "h200")),
            "8xh100+4xh200",
            {"prefill": "h100", "decode": "h200"},
        ),
        (
            (
                _pool("prefill", name="a"),
                _pool("prefill", "h200", name="b"),
                _pool("decode", "h200", tp=8),
            ),
            "4xh100+12xh200",
            {"prefill": "4xh100+4xh200", "decode": "h200"},
        ),
        ((_pool("server", name="a"), _pool("server", "h200", name="b")), "4xh100+4xh200", None),
    ],
)
def test_names(pools: tuple[Pool, ...], whole: str, roles: dict[str, str] | None) -> None:
    """One SKU by its name, several with their numbers; roles where they differ."""
    request: Any = SimpleNamespace(layout=Layout(pools=pools), hardware=_facts("h100"))
    assert _hardware(pools, request) == whole
    assert _role_hardware(request) == roles
