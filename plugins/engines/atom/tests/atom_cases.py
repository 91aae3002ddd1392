"""Requests and engines for the tests of the engine `atom`."""

from __future__ import annotations

from typing import Any

from tokenbench_engine_atom.plugin import AtomOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Engine,
    EngineRequest,
    PluginContext,
    ProcessSpec,
    ServingNeeds,
    Sku,
)
from tokenbench_testing.samples.deployments import (
    DEEPSEEK_R1,
    GIB,
    LLAMA_70B,
    sample_request,
    sample_sku,
)

__all__ = ["DEEPSEEK_R1", "GIB", "LLAMA_70B", "MI355X", "engine", "process", "request"]
MI355X = sample_sku("mi355x", "fp4", "fp8", "bf16", gib=288, vendor="AMD")


def engine(**options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    found = spec.factory(AtomOptions(**options), PluginContext())  # type: ignore[arg-type,return-value]
    assert isinstance(found, Engine)
    return found


def request(
    shape: Architecture = DEEPSEEK_R1,
    *,
    chip: Sku | None = MI355X,
    precision: str = "fp8",
    needs: ServingNeeds | None = None,
    **more: Any,
) -> EngineRequest:
    """A request for one server with these degrees, by default tp=8, or for `pools`."""
    needs = needs or ServingNeeds(context_tokens=9280, concurrency=64)
    if not set(more) - {"source", "extra", "pools"}:
        more["tp"] = 8
    return sample_request(shape, kind="amd", chip=chip, precision=precision, needs=needs, **more)


def process(asked: EngineRequest, **options: Any) -> ProcessSpec:
    """The planned process."""
    (found,) = engine(**options).plan(asked).processes
    return found
