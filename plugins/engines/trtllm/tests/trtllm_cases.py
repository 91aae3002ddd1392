"""Requests and engines for the tests of the engine `trtllm`."""

from __future__ import annotations

from typing import Any

from tokenbench_engine_trtllm.plugin import TrtllmOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Engine,
    EngineRequest,
    FrozenMap,
    PluginContext,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Sku,
    Topology,
)
from tokenbench_testing.samples import deployments
from tokenbench_testing.samples.deployments import (
    DEEPSEEK_R1,
    LLAMA_70B,
    draft_weights,
    sample_request,
    sample_sku,
)

__all__ = [
    "B200",
    "DEEPSEEK_R1",
    "GB200",
    "H200",
    "LLAMA_70B",
    "args",
    "draft_weights",
    "engine",
    "process",
    "request",
    "xpyd",
]
H200 = sample_sku("h200", "fp8", "bf16", gib=141, architecture="Hopper")
B200 = sample_sku("b200", "fp4", "fp8", "bf16", gib=180, architecture="Blackwell")
GB200 = sample_sku("gb200", "fp4", "fp8", "bf16", gib=186, architecture="Blackwell", host=4)


def engine(**options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    found = spec.factory(TrtllmOptions(**options), PluginContext())  # type: ignore[arg-type,return-value]
    assert isinstance(found, Engine)
    return found


def request(
    shape: Architecture = DEEPSEEK_R1,
    *,
    chip: Sku | None = B200,
    precision: str = "fp8",
    needs: ServingNeeds | None = None,
    **more: Any,
) -> EngineRequest:
    """A request for one server with these degrees, by default tp=8, or for `pools`."""
    needs = needs or ServingNeeds(context_tokens=9280, concurrency=64)
    if not set(more) - {"source", "extra", "parsers", "pools"}:
        more["tp"] = 8
    return sample_request(
        shape, chip=chip, precision=precision, needs=needs, served_name="name", **more
    )


def process(asked: EngineRequest, **options: Any) -> ProcessSpec:
    """The planned process of a server."""
    (found,) = engine(**options).plan(asked).processes
    return found


def args(found: ProcessSpec) -> FrozenMap[Any]:
    """The content of a process's options file."""
    content = found.files[0].content
    assert isinstance(content, FrozenMap)
    return content


def xpyd(prefill: int, decode: int, wide: Topology | None = None) -> tuple[Pool, ...]:
    """Pools for prefill, on one host each, and for decode."""
    return deployments.xpyd(prefill, decode, Topology(tp=8, ep=8, attention_dp=8), wide)
