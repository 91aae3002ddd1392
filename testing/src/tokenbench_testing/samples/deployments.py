"""Requests for tests of engines that plan for accelerators: shapes of real models, a builder."""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    Architecture,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    Layout,
    Pool,
    ServingNeeds,
    Sku,
    Topology,
    Weights,
)

GIB = 1 << 30
# Shapes from the models' config.json, read 2026-11-30.
SMOLLM2 = Architecture(
    parameters=134_515_008, layers=30, heads=9, kv_heads=3, head_dim=64, context_tokens=8192
)
LLAMA_70B = Architecture(
    parameters=70_553_706_496, layers=80, heads=64, kv_heads=8, head_dim=128, context_tokens=131072
)
DEEPSEEK_R1 = Architecture(
    parameters=671_026_419_200,
    active_parameters=37_000_000_000,
    layers=61,
    heads=128,
    latent_dim=512,
    rope_dim=64,
    experts=256,
    active_experts=8,
    mtp_heads=1,
    context_tokens=163840,
)


def sample_sku(
    name: str, *precisions: str, gib: int, vendor: str = "NVIDIA", host: int = 8, **more: Any
) -> Sku:
    """A chip with what plans depend on. `host`: accelerators of a host."""
    return Sku(
        name=name,
        vendor=vendor,
        source="test",
        date="2026-11-30",
        memory_bytes=gib * GIB,
        precisions=precisions,
        accelerators_per_host=host,
        **more,
    )


H200 = sample_sku("h200", "fp8", "bf16", gib=141)


def sample_request(
    shape: Architecture,
    *,
    chip: Sku | None,
    kind: str = "nvidia",
    precision: str = "bf16",
    source: str = "file:/models/m",
    extra: dict[str, Weights] | None = None,
    pools: tuple[Pool, ...] | None = None,
    needs: ServingNeeds | None = None,
    served_name: str = "m",
    parsers: Any = None,
    **degrees: int,
) -> EngineRequest:
    """A request for one server with these degrees, or for `pools`. On a CPU there is no chip."""
    layout = Layout(pools=pools or (Pool(topology=Topology(**degrees)),))
    chip = None if kind == "cpu" else chip
    return EngineRequest(
        model="m",
        served_name=served_name,
        weights=Weights(precision=precision, format="hf", source=source, revision="abc"),
        architecture=shape,
        hardware=HardwareFacts(
            kind=kind, sku=chip.name if chip else kind, count=layout.accelerators, chip=chip
        ),
        layout=layout,
        needs=needs or ServingNeeds(context_tokens=2048, concurrency=16),
        extra_weights=FrozenMap(extra or {}),
        parsers=parsers,
    )


def draft_weights(purpose: str, source: str = "file:/models/d") -> Weights:
    """Extra weights of a model."""
    return Weights(precision="bf16", format="hf", source=source, revision="d1", purpose=purpose)


def xpyd(
    prefill: int, decode: int, host: Topology, wide: Topology | None = None, **more: Any
) -> tuple[Pool, ...]:
    """Pools for prefill, on one host each, and for decode, on `wide` or one host each."""
    return (
        Pool(role="prefill", replicas=prefill, topology=host, **more),
        Pool(role="decode", replicas=decode, topology=wide or host, **more),
    )
