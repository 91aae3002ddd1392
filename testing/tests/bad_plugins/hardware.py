"""Catalogues that are not data, probes that fail, samplers with wrong values."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from tokenbench.api import (
    CostSet,
    DeviceSettings,
    FrozenMap,
    Hardware,
    HardwareSpec,
    NodeProgram,
    NoOptions,
    Sku,
    Source,
)
from tokenbench_testing.kit import Subject

_SKU = Sku(
    name="x1",
    vendor="acme",
    source="a data sheet",
    date="2026-11",
    aliases=("acme x1",),
    memory_bytes=80 << 30,
    memory_bandwidth_bytes_s=3.3e12,
    tdp_w=700.0,
    dense_flops=FrozenMap({"bf16": 989e12}),
)
_COSTS = CostSet(
    version="2026",
    source="its maker's price list",
    date="2026-01",
    all_in_w=1400.0,
    usd_per_hour=FrozenMap({"neocloud": 1.5}),
)
_FULL = attrs.evolve(
    _SKU,
    precisions=("fp8", "bf16"),
    scale_up_size=8,
    scale_up_bandwidth_bytes_s=450e9,
    scale_out_bandwidth_bytes_s=50e9,
    accelerators_per_host=8,
    host_link="PCIe 5.0 x16",
    costs=(_COSTS, attrs.evolve(_COSTS, version="2027", date="2027-01")),
    sources=FrozenMap({"scale_up_size": Source("a manual", "2026-11")}),
)
_OTHER = attrs.evolve(_SKU, name="x2", aliases=("acme x2",), date="2026-11-21")
_DEVICES = (
    {"index": 0, "name": "ACME X1", "handle": "A-0", "sku": "x1", "memory_bytes": 80 << 30},
    {"index": 1, "name": "ACME X2", "handle": "A-1", "sku": "x2", "power_limit_w": 700.0},
)
_PROBE = {"devices": _DEVICES, "notes": {"temperature_c": "not reported by the driver"}}
_ABSENT = {"reason": "no driver here", "hint": "install it"}


class Chip(Hardware):
    """Passes all checks."""

    skus: Any = (_SKU, _OTHER)
    found: ClassVar[dict[str, Any]] = _PROBE
    variables: Any = FrozenMap({"ACME_DEVICES": "{devices}"})
    reason = "each process has its own chips"
    node: ClassVar[dict[str, Any]] = {}
    module = "bad_nodes.chip"

    def catalogue(self) -> Sequence[Sku]:
        return _now(self.skus)

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        return (DeviceSettings(reason=self.reason, environment=_now(self.variables)),)

    def program(self) -> NodeProgram | None:
        options = FrozenMap({"found": json.dumps(self.found), **self.node})
        return NodeProgram(module=self.module, options=options)


class Listed(Hardware):
    """A catalogue and nothing else."""

    def catalogue(self) -> Sequence[Sku]:
        return (_FULL,)


def _now(value: Any) -> Any:
    return value() if callable(value) else value


def _subject(
    make: Callable[..., Any] | None = None,
    *,
    domain: str = "accelerator",
    catalogue_only: bool = False,
    **members: Any,
) -> Subject:
    def chip(*_: Any) -> Hardware:
        return type("Bad", (Chip,), {k: _member(v) for k, v in members.items()})()

    spec = HardwareSpec(
        name="acme",
        summary="a chip",
        factory=make or chip,
        domain=domain,
        catalogue_only=catalogue_only,
    )
    return Subject(
        kind="hardware",
        name="acme",
        module="bad_plugins.hardware",
        spec=spec,
        options=NoOptions(),
    )


def _member(value: Any) -> Any:
    """Keeps a function in a class body from becoming a method."""
    return staticmethod(value) if callable(value) and not isinstance(value, type) else value


def _sku(**changes: Any) -> tuple[Sku, ...]:
    return (attrs.evolve(_SKU, **changes), _OTHER)


def _priced(**changes: Any) -> tuple[Sku, ...]:
    return _sku(costs=(_COSTS, attrs.evolve(_COSTS, version="2027", **changes)))


def _devices(**changes: Any) -> dict[str, Any]:
    return {**_PROBE, "devices": (_DEVICES[0], {**_DEVICES[1], **changes})}


def _node(**options: Any) -> Subject:
    return _subject(node=options)


def _reports(**figures: Any) -> Subject:
    return _node(figures=json.dumps(figures))


_clock = itertools.count()

GOOD = [
    _subject(),
    _subject(found=_ABSENT),
    _subject(skus=(_FULL, _OTHER)),
    _subject(lambda *_: Listed(), catalogue_only=True),
    _subject(domain="cpu", skus=(), found=_devices(sku="the host itself")),
]
BAD = {
    "hardware-factory-returns-hardware": _subject(lambda *_: object()),
    "catalogue-is-a-sequence-of-skus": _subject(skus=({"name": "x1"},)),
    "accelerators-have-a-catalogue": _subject(skus=(), found=_ABSENT),
    "catalogue-is-pure": _subject(skus=lambda: _sku(tdp_w=700.0 + next(_clock))),
    "catalogue-names-are-unique": _subject(skus=(*_sku(), attrs.evolve(_SKU, aliases=()))),
    "aliases-are-lower-case": _subject(skus=_sku(aliases=("ACME X1",))),
    "aliases-are-unique": _subject(skus=_sku(aliases=("acme x2",))),
    "skus-have-source-and-date": _subject(skus=_sku(date="last autumn")),
    "sku-sources-name-figures": _subject(
        skus=_sku(sources=FrozenMap({"tpd_w": Source("a manual", "2026-11")}))
    ),
    "sku-precisions-include-those-with-flops": _subject(skus=_sku(precisions=("fp8",))),
    "cost-sets-are-distinct": _subject(skus=_priced()),
    "prices-are-of-known-ownership-models": _subject(
        skus=_priced(date="2027-01", usd_per_hour=FrozenMap({"colocation": 1.5}))
    ),
    "catalogue-only-hardware-has-no-program": _subject(catalogue_only=True),
    "sku-figures-are-positive": _subject(skus=_sku(tdp_w=-1.0)),
    "sku-figures-are-in-their-units": _subject(skus=_sku(memory_bytes=80)),
    "probe-never-raises": _node(raises=True),
    "absence-has-reason-and-hint": _subject(found={"reason": "no driver here"}),
    "probe-is-stable": _node(unstable=True),
    "devices-are-distinct": (
        _subject(found=_devices(index=0)),
        _subject(found=_devices(handle="A-0")),
    ),
    "device-skus-are-in-the-catalogue": _subject(found=_devices(sku="ACME X2")),
    "device-figures-are-in-their-units": _subject(found=_devices(power_limit_w=700_000.0)),
    "probe-notes-name-sample-fields": _subject(
        found={**_PROBE, "notes": {"temperature": "not reported by the driver"}}
    ),
    "node-program-is-python-for-hosts": _subject(module="bad_nodes.needs_attrs"),
    "node-program-runs-in-the-agent": _node(only_here=os.getpid()),
    "device-settings-bind": _subject(variables=FrozenMap({"ACME_DEVICES": "{device}"})),
    "device-settings-have-reasons": _subject(reason=" "),
    "device-settings-are-pure": _subject(
        variables=lambda: FrozenMap({"ACME_RUN": str(next(_clock))})
    ),
    "sampler-reads-the-requested-devices": _node(too_few=1),
    "utilization-is-a-fraction": _reports(utilization=50.0),
    "energy-never-decreases": _node(energy=-1),
    "sample-figures-are-in-their-units": _reports(temperature_c=45_000.0),
    "throttle-names-reasons": _reports(throttle=["melting"]),
    "sampler-is-fast": _node(pause_s=0.15),
    "sampler-closes-twice": _node(close_once=True),
    "sampler-without-devices-is-harmless": _node(needs_a_device=True),
}
ALSO: dict[str, set[str]] = {}
REAL = {"real-devices-report-values": _node(too_few=1)}
"""Bad at level 4."""
