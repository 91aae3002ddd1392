"""Engine requests derived from an engine's capabilities: each capability is requested once."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from tokenbench.api import (
    DECODE,
    PREFILL,
    Architecture,
    EngineCapabilities,
    EngineRequest,
    HardwareFacts,
    Layout,
    Pool,
    ServingNeeds,
    Topology,
    Weights,
)

_AXES = {
    "tp": Topology(tp=2),
    "pp": Topology(pp=2),
    "ep": Topology(tp=2, ep=2),
    "dp": Topology(dp=2),
    "attention_dp": Topology(tp=2, attention_dp=2),
    "dcp": Topology(tp=2, dcp=2),
    "pcp": Topology(pcp=2),
}


def base_request(capabilities: EngineCapabilities) -> EngineRequest:
    """The smallest request that the engine declares to support."""
    formats = capabilities.weight_formats
    return EngineRequest(
        model="sample",
        served_name="sample",
        weights=_weights(formats[0]) if formats else None,
        architecture=Architecture(context_tokens=32768, layers=4, heads=8, kv_heads=1, experts=8),
        hardware=HardwareFacts(kind=(*capabilities.hardware, "sample")[0], sku="sample-1"),
        layout=_layouts(capabilities)[0],
        needs=ServingNeeds(context_tokens=2048, concurrency=4),
    )


def requests_of(capabilities: EngineCapabilities) -> Iterator[tuple[str, EngineRequest]]:
    """Pairs of the exercised capability and a request for it."""
    base = base_request(capabilities)
    yield "base", base
    for fmt in capabilities.weight_formats[1:]:
        yield f"weight format {fmt}", attrs.evolve(base, weights=_weights(fmt))
    for kind in capabilities.hardware[1:]:
        facts = HardwareFacts(kind=kind, sku="sample-1")
        yield f"hardware {kind}", attrs.evolve(base, hardware=facts)
    for axis in capabilities.axes:
        if axis in _AXES:
            pools = tuple(attrs.evolve(p, topology=_AXES[axis]) for p in base.layout.pools)
            yield f"axis {axis}", _with_layout(base, Layout(pools=pools))
    for layout in _layouts(capabilities)[1:]:
        yield f"roles {' and '.join(p.role for p in layout.pools)}", _with_layout(base, layout)
    needs = ServingNeeds(context_tokens=8192, concurrency=64, prefix_caching=True, logprobs=True)
    yield "larger needs", attrs.evolve(base, needs=needs)
    yield "unknown needs", attrs.evolve(base, needs=ServingNeeds())


def _weights(fmt: str) -> Weights:
    return Weights(precision="p", format=fmt, source="hub:o/sample", revision="1")


def _with_layout(base: EngineRequest, layout: Layout) -> EngineRequest:
    facts = attrs.evolve(base.hardware, count=layout.accelerators)
    return attrs.evolve(base, layout=layout, hardware=facts)


def _layouts(capabilities: EngineCapabilities) -> list[Layout]:
    """One layout per role that works alone, and one with prefill and decode if both exist."""
    roles = capabilities.roles
    apart = {PREFILL, DECODE}
    layouts = [Layout(pools=(Pool(role=role),)) for role in roles if role not in apart]
    if apart <= set(roles):
        layouts.append(Layout(pools=(Pool(role=PREFILL), Pool(role=DECODE, replicas=2))))
    return layouts or [Layout()]
