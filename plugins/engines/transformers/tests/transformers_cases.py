"""Requests and engines for the tests of the engine `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenbench_engine_transformers.plugin import TransformersOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Engine,
    EngineRequest,
    HardwareFacts,
    Layout,
    PluginContext,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Sku,
    Topology,
    Weights,
)

HERE = Path(__file__).parent
REUSE = ServingNeeds(context_tokens=2048, concurrency=4, prefix_caching=True)
BATCHING: dict[str, Any] = {"continuous_batching": True}


def engine(**options: Any) -> Engine:
    """The engine with these options."""
    (spec,) = bench_register_engines()
    found = spec.factory(TransformersOptions(**options), PluginContext())  # type: ignore[arg-type,return-value]
    assert isinstance(found, Engine)
    return found


def request(
    *,
    kind: str = "cpu",
    source: str = "file:/models/m",
    needs: ServingNeeds | None = None,
    replicas: int = 1,
    pp: int = 1,
    chip: Sku | None = None,
    shape: Architecture | None = None,
) -> EngineRequest:
    """A request for one server."""
    layout = Layout(pools=(Pool(replicas=replicas, topology=Topology(pp=pp)),))
    return EngineRequest(
        model="m",
        served_name="m",
        weights=Weights(precision="bf16", format="hf", source=source, revision="abc"),
        architecture=shape or Architecture(context_tokens=8192),
        hardware=HardwareFacts(kind=kind, sku=kind, count=layout.accelerators, chip=chip),
        layout=layout,
        needs=needs or ServingNeeds(context_tokens=2048, concurrency=4),
    )


def process(asked: EngineRequest | None = None, **options: Any) -> ProcessSpec:
    """The planned process."""
    (found,) = engine(**options).plan(asked or request()).processes
    return found
