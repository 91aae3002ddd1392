"""SKUs: what a catalogue says of a chip. Pure data; each figure has a source and a date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from .frozen import FrozenMap

OWNERSHIP = ("hyperscaler", "neocloud", "rent_3yr")
"""Ownership models of a price: a hyperscaler's own, a neocloud's own, rented for three years."""


@attrs.frozen
class Source:
    """Where a figure was read: a URL or the name of a document, and the day or month."""

    text: str
    date: str


@attrs.frozen(kw_only=True)
class Figure:
    """One known figure of a SKU, with where it comes from.

    `name`: ``tdp_w``, ``dense_flops.fp8``, ``costs[v2].usd_per_hour.neocloud``. `version`: that of
    its cost set, None for other figures. `note`: a caveat, such as that it is a guess.
    """

    name: str
    value: Any
    source: str
    date: str
    version: str | None = None
    note: str | None = None


@attrs.frozen(kw_only=True)
class CostSet:
    """What one accelerator costs and how much power is provisioned for it, as of `date`.

    `version` names the set; sets of one publisher have the same version for all chips. `all_in_w`:
    with the accelerator's share of host, network and cooling. `usd_per_hour`: US dollars per
    accelerator-hour, by ownership model (`OWNERSHIP`).
    """

    version: str
    source: str
    date: str
    all_in_w: float | None = None
    usd_per_hour: FrozenMap[float] = FrozenMap()
    note: str | None = None

    def figures(self) -> Iterator[Figure]:
        """The known figures of this set."""
        known = {f"usd_per_hour.{model}": price for model, price in self.usd_per_hour.items()}
        if self.all_in_w is not None:
            known = {"all_in_w": self.all_in_w, **known}
        for name, value in known.items():
            yield Figure(
                name=f"costs[{self.version}].{name}",
                value=value,
                source=self.source,
                date=self.date,
                version=self.version,
                note=self.note,
            )


@attrs.frozen(kw_only=True)
class Sku:
    """One chip of a catalogue. Unknown figures are None or empty.

    `source` and `date` are those of every figure that `sources` does not name. Its keys are fields
    (``tdp_w``, ``dense_flops``) or single entries (``dense_flops.fp8``); cost sets have their own.

    Bandwidths of links are per accelerator in one direction.

    `aliases`: names as drivers report them, in lower case. `label`: the product name, if it differs
    (``GB200 NVL72``). `precisions`: data types it is known to compute in, with or without a figure
    in `dense_flops`, which are FLOP/s without sparsity by data type (``bf16``; operations for
    ``int8``). `scale_up_size`: accelerators in one scale-up domain. `host_link`: how it is attached
    (``PCIe 5.0 x16``).
    """

    name: str
    vendor: str
    source: str
    date: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_bandwidth_bytes_s: float | None = None
    tdp_w: float | None = None
    dense_flops: FrozenMap[float] = FrozenMap()
    label: str | None = None
    architecture: str | None = None
    precisions: tuple[str, ...] = ()
    memory_type: str | None = None
    scale_up_link: str | None = None
    scale_up_size: int | None = None
    scale_up_bandwidth_bytes_s: float | None = None
    scale_out_link: str | None = None
    scale_out_bandwidth_bytes_s: float | None = None
    accelerators_per_host: int | None = None
    host_link: str | None = None
    host_link_bandwidth_bytes_s: float | None = None
    costs: tuple[CostSet, ...] = ()
    sources: FrozenMap[Source] = FrozenMap()

    def figures(self) -> tuple[Figure, ...]:
        """All known figures with source and date, in the order of the fields."""
        found = [
            self._figure(name, value)
            for field in SKU_FIGURES
            for name, value in _entries(field, getattr(self, field))
        ]
        return (*found, *(figure for costs in self.costs for figure in costs.figures()))

    def unknown(self) -> tuple[str, ...]:
        """The fields without a figure. Price sets without a price are not among them."""
        return tuple(
            field for field in (*SKU_FIGURES, "costs") if getattr(self, field) in (None, (), {})
        )

    def newest(self, name: str) -> Figure | None:
        """The figure of the newest cost set that has it: ``all_in_w``, ``usd_per_hour.neocloud``.

        None if no set has it.
        """
        found = [
            figure
            for costs in self.costs
            for figure in costs.figures()
            if figure.name == f"costs[{costs.version}].{name}"
        ]
        return max(found, key=lambda figure: figure.date, default=None)

    def _figure(self, name: str, value: Any) -> Figure:
        field = name.partition(".")[0]
        default = Source(self.source, self.date)
        source = self.sources.get(name) or self.sources.get(field) or default
        return Figure(name=name, value=value, source=source.text, date=source.date)


SKU_FIGURES = (
    "architecture",
    "memory_bytes",
    "memory_type",
    "memory_bandwidth_bytes_s",
    "dense_flops",
    "precisions",
    "tdp_w",
    "scale_up_link",
    "scale_up_size",
    "scale_up_bandwidth_bytes_s",
    "scale_out_link",
    "scale_out_bandwidth_bytes_s",
    "accelerators_per_host",
    "host_link",
    "host_link_bandwidth_bytes_s",
)
"""Fields of Sku that hold figures."""


def _entries(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of each known figure of a field."""
    if isinstance(value, Mapping):
        yield from ((f"{field}.{key}", item) for key, item in value.items())
    elif value not in (None, ()):
        yield field, value


@attrs.frozen(kw_only=True)
class HardwareFacts:
    """The hardware a plan is made for. `kind` is the plugin's name, `sku` a name of its catalogue,
    `count` the number of accelerators (of ranks on CPUs). `chip`: the figures of one accelerator in
    the catalogue, for sizing; None for CPUs and chips that it does not have.
    """

    kind: str
    sku: str
    count: int = 1
    chip: Sku | None = None
