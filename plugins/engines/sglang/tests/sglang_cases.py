"""Requests and engines for the tests of the engine `sglang`."""

from __future__ import annotations

from typing import Any

from tokenbench_engine_sglang.plugin import SglangOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Engine,
    EngineRequest,
    PluginContext,
    Pool,
    ProcessSpec,
    Sku,
    Topology,
)
from tokenbench_testing.samples import deployments
from tokenbench_testing.samples.deployments import (
    DEEPSEEK_R1,
    GIB,
    H200,
    LLAMA_70B,
    SMOLLM2,
    draft_weights,
    sample_request,
)

__all__ = [
    "DEEPSEEK_R1",
    "GIB",
    "H200",
    "LLAMA_70B",
    "SMOLLM2",
    "WIDE",
    "draft_weights",
    "engine",
    "process",
    "request",
    "xpyd",
]
# Over four hosts of eight.
WIDE = Topology(dp=32, ep=32)


def engine(**options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    found = spec.factory(SglangOptions(**options), PluginContext())  # type: ignore[arg-type,return-value]
    assert isinstance(found, Engine)
    return found


def request(
    shape: Architecture = SMOLLM2, *, chip: Sku | None = H200, **more: Any
) -> EngineRequest:
    """A request for one server with these degrees, or for `pools`."""
    return sample_request(shape, chip=chip, **more)


def process(asked: EngineRequest, **options: Any) -> ProcessSpec:
    """The planned process."""
    (found,) = engine(**options).plan(asked).processes
    return found


def xpyd(
    prefill: int, decode: int, topology: Topology | None = None, **more: Any
) -> tuple[Pool, ...]:
    """Pools for prefill, on one host each, and for decode."""
    return deployments.xpyd(prefill, decode, Topology(dp=8, ep=8), topology, **more)
