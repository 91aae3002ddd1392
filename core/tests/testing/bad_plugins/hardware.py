"""Catalogues that are not data, probes that fail, samplers with wrong values."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from tokenbench.api import (
    CostSet,
    DeviceInfo,
    FrozenMap,
    Hardware,
    HardwareSpec,
    NoOptions,
    Probe,
    Sample,
    Sampler,
    Sku,
    Source,
)
from tokenbench.testing.kit import Subject

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
    DeviceInfo(index=0, name="ACME X1", handle="A-0", sku="x1", memory_bytes=80 << 30),
    DeviceInfo(index=1, name="ACME X2", handle="A-1", sku="x2", power_limit_w=700.0),
)
_PROBE = Probe(devices=_DEVICES, notes=FrozenMap({"temperature_c": "not reported by the driver"}))


class Reader(Sampler):
    """Values that count up."""

    figures: ClassVar[dict[str, Any]] = {}
    pause_s = 0.0
    energy = 1.0

    def __init__(self, devices: Sequence[int]) -> None:
        self.devices = devices
        self.count = itertools.count()

    def sample(self) -> Sequence[Sample]:
        time.sleep(self.pause_s)
        energy_j = 1000 + self.energy * next(self.count)
        known = {"power_w": 350.0, "energy_j": energy_j, "utilization": 0.5, "throttle": ()}
        return [Sample(device=device, **{**known, **self.figures}) for device in self.devices]


class CloseOnce(Reader):
    closed = False

    def close(self) -> None:
        if self.closed:
            self.closed = False  # the third call is the kit's own
            raise RuntimeError("not initialised")
        self.closed = True


class OneTooFew(Reader):
    def sample(self) -> Sequence[Sample]:
        return list(super().sample())[1:]


class Chip(Hardware):
    """Passes all checks."""

    skus: Any = (_SKU, _OTHER)
    found: Any = _PROBE
    variables: Any = FrozenMap({"ACME_DEVICES": "{devices}"})
    reader: type[Reader] = Reader

    def catalogue(self) -> Sequence[Sku]:
        return _now(self.skus)

    def probe(self) -> Probe:
        return _now(self.found)

    def environment(self) -> FrozenMap[str]:
        return _now(self.variables)

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        return self.reader(devices)


class Listed(Hardware):
    """A catalogue and nothing else."""

    def catalogue(self) -> Sequence[Sku]:
        return (_FULL,)

    def probe(self) -> Probe:
        return Probe(reason="it is not looked for", hint="plan with it")


class NeedsADevice(Chip):
    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        self.first = devices[0]
        return self.reader(devices)


def _now(value: Any) -> Any:
    return value() if callable(value) else value


def _raise() -> Probe:
    raise OSError("libacme.so: cannot open shared object file")


def _subject(
    make: Callable[[NoOptions], Any] | None = None,
    *,
    accelerated: bool = True,
    catalogue_only: bool = False,
    **members: Any,
) -> Subject:
    def chip(_: NoOptions) -> Hardware:
        return type("Bad", (Chip,), {k: _member(v) for k, v in members.items()})()

    spec = HardwareSpec(
        name="acme",
        summary="a chip",
        factory=make or chip,
        accelerated=accelerated,
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


def _devices(**changes: Any) -> Probe:
    return attrs.evolve(_PROBE, devices=(_DEVICES[0], attrs.evolve(_DEVICES[1], **changes)))


def _reports(**figures: Any) -> Subject:
    return _subject(reader=type("Odd", (Reader,), {"figures": figures}))


_clock = itertools.count()

GOOD = [
    _subject(),
    _subject(found=Probe(reason="no driver here", hint="install it")),
    _subject(skus=(_FULL, _OTHER)),
    _subject(lambda _: Listed(), catalogue_only=True),
    _subject(accelerated=False, skus=(), found=_devices(sku="the host itself")),
]
BAD = {
    "hardware-factory-returns-hardware": _subject(lambda _: object()),
    "catalogue-is-a-sequence-of-skus": _subject(skus=({"name": "x1"},)),
    "accelerators-have-a-catalogue": _subject(
        skus=(), found=Probe(reason="no driver here", hint="install it")
    ),
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
    "catalogue-only-hardware-finds-nothing": _subject(catalogue_only=True),
    "sku-figures-are-positive": _subject(skus=_sku(tdp_w=-1.0)),
    "sku-figures-are-in-their-units": _subject(skus=_sku(memory_bytes=80)),
    "probe-never-raises": _subject(found=_raise),
    "absence-has-reason-and-hint": _subject(found=Probe(reason="no driver here")),
    "probe-is-stable": _subject(found=lambda: _devices(uuid=str(next(_clock)))),
    "device-indexes-are-unique": _subject(found=_devices(index=0)),
    "device-handles-are-unique": _subject(found=_devices(handle="A-0")),
    "device-skus-are-in-the-catalogue": _subject(found=_devices(sku="ACME X2")),
    "device-figures-are-in-their-units": _subject(found=_devices(power_limit_w=700_000.0)),
    "probe-notes-name-sample-fields": _subject(
        found=attrs.evolve(_PROBE, notes=FrozenMap({"temperature": "not reported by the driver"}))
    ),
    "hardware-environment-binds": _subject(variables=FrozenMap({"ACME_DEVICES": "{device}"})),
    "hardware-environment-has-plain-names": _subject(variables=FrozenMap({"ACME-DEVICES": "1"})),
    "hardware-environment-is-pure": _subject(
        variables=lambda: FrozenMap({"ACME_RUN": str(next(_clock))})
    ),
    "sampler-reads-the-requested-devices": _subject(reader=OneTooFew),
    "utilization-is-a-fraction": _reports(utilization=50.0),
    "energy-never-decreases": _subject(reader=type("Falls", (Reader,), {"energy": -1.0})),
    "sample-figures-are-in-their-units": _reports(temperature_c=45_000.0),
    "throttle-names-reasons": _reports(throttle=4),
    "sampler-is-fast": _subject(reader=type("Slow", (Reader,), {"pause_s": 0.15})),
    "sampler-closes-twice": _subject(reader=CloseOnce),
    "sampler-without-devices-is-harmless": _subject(lambda _: NeedsADevice()),
}
ALSO: dict[str, set[str]] = {}
REAL = {"real-devices-report-values": _subject(reader=type("Mute", (OneTooFew,), {}))}
"""Bad at level 4."""
