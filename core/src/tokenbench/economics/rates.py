"""Rates: an accelerator's cost per hour and its provisioned power.

They are data with a version and a date: the cost sets of the hardware catalogue, or a file of the
user (:mod:`.rates_file`). A SKU without a figure has no cost: None and a hint, never 0.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence

import attrs
import numpy as np

from tokenbench.api import Figure, FrozenMap, Sku, UsageError
from tokenbench.api.sku import OWNERSHIP

from .column import Column, RateIdentity
from .cost import PER_HOUR
from .definitions import PER_MILLION

ALL_IN_W = "all_in_w"
_PRICE = "usd_per_hour."
_TO_ADD = "add it to a file of rates (--rates FILE)"


@attrs.frozen(kw_only=True)
class Rate:
    """One figure of a SKU (`name`: ``all_in_w``, ``usd_per_hour.neocloud``) and its set.

    `source`: where the figure was read. `note`: a limitation, such as a guess.
    """

    name: str
    value: float
    identity: RateIdentity
    source: str
    note: str | None = None


@attrs.frozen(kw_only=True)
class RateSet:
    """Rates by SKU and name of the figure."""

    rates: FrozenMap[FrozenMap[Rate]]

    @classmethod
    def from_catalogue(cls, skus: Iterable[Sku], version: str | None = None) -> RateSet:
        """The cost sets of a catalogue: of one version, or the newest of each figure.

        Raises:
            UsageError: no SKU has a set of that version.
        """
        chips = tuple(skus)
        versions = sorted({costs.version for sku in chips for costs in sku.costs})
        if version is not None and version not in versions:
            raise UsageError(
                f"the hardware catalogue has no cost set {version!r}",
                hint=f"cost sets: {', '.join(versions) or 'none'}",
            )
        found = {sku.name: _rates(sku, version) for sku in chips}
        return cls(rates=FrozenMap({name: rates for name, rates in found.items() if rates}))

    def over(self, base: RateSet) -> RateSet:
        """This set, completed by the figures of `base` that it lacks."""
        merged: dict[str, FrozenMap[Rate]] = dict(base.rates)
        for sku, rates in self.rates.items():
            merged[sku] = FrozenMap({**base.rates.get(sku, FrozenMap()), **rates})
        return RateSet(rates=FrozenMap(merged))

    def find(self, sku: str | None, name: str) -> Rate | None:
        """One figure; None if it is not known. Of several SKUs (``8xh100+4xh200``), the mean over
        their accelerators.
        """
        if sku is None:
            return None
        chips = _chips(sku)
        if not chips or sku in self.rates:
            return self.rates.get(sku, FrozenMap[Rate]()).get(name)
        found = [(self.find(chip, name), count) for chip, count in chips.items()]
        known = [(rate, count) for rate, count in found if rate is not None]
        return _mean(known) if len(known) == len(chips) else None

    def usd_per_hour(self, skus: Sequence[str | None], ownership: str) -> Column:
        """US dollars per accelerator-hour of each point's SKU (None: not known).

        Raises:
            UsageError: there is no such ownership model.
        """
        if ownership not in OWNERSHIP:
            raise UsageError(
                f"unknown ownership model {ownership!r}", hint=f"one of {', '.join(OWNERSHIP)}"
            )
        return self._column(skus, f"{_PRICE}{ownership}", PER_HOUR)

    def all_in_w(self, skus: Sequence[str | None]) -> Column:
        """Provisioned watts per accelerator of each point's SKU (None: not known)."""
        return self._column(skus, ALL_IN_W, "W/accelerator")

    def _column(self, skus: Sequence[str | None], name: str, unit: str) -> Column:
        # Thousands of points have a few SKUs.
        found = {sku: self.find(sku, name) for sku in dict.fromkeys(skus)}
        hints = {sku: self._hint(sku, name) for sku, rate in found.items() if rate is None}
        known = {sku: rate.value for sku, rate in found.items() if rate is not None}
        values = np.array([known.get(sku, math.nan) for sku in skus], dtype=np.float64)
        return Column(
            unit=unit,
            values=values,
            half_widths=values * 0.0,
            hints=tuple(hints.get(sku) for sku in skus),
            rates=tuple(dict.fromkeys(rate.identity for rate in found.values() if rate)),
        )

    def _hint(self, sku: str | None, name: str) -> str:
        if sku is None:
            return "the hardware of this point is not known"
        if sku not in self.rates:
            # Of several SKUs, the first without a figure.
            sku = next((chip for chip in _chips(sku) if self.find(chip, name) is None), sku)
        what = "provisioned power" if name == ALL_IN_W else f"price ({name.removeprefix(_PRICE)})"
        if sku in self.rates:
            has = ", ".join(known.removeprefix(_PRICE) for known in self.rates[sku])
            return f"no {what} of {sku!r}, only {has}: {_TO_ADD}"
        # A name of several SKUs resembles none of them.
        near = [] if "+" in sku else difflib.get_close_matches(sku, self.rates, n=1)
        meant = f"did you mean {near[0]!r}? else " if near else ""
        return f"no {what} of {sku!r}: {meant}{_TO_ADD}"


def _chips(hardware: str) -> dict[str, int]:
    """The accelerators of each SKU of ``8xh100+4xh200``; empty for the name of one."""
    # Results are untrusted; six digits exceed what a suite can request.
    parts = [re.fullmatch(r"([1-9][0-9]{0,5})x(.+)", part) for part in hardware.split("+")]
    found = {part[2]: int(part[1]) for part in parts if part is not None}
    return found if len(found) == len(parts) > 1 else {}


def _mean(rates: Sequence[tuple[Rate, int]]) -> Rate:
    """The mean rate of accelerators of several SKUs."""

    def joined(texts: Iterable[str]) -> str:
        return " and ".join(dict.fromkeys(texts))

    first = rates[0][0]
    identities = [rate.identity for rate, _ in rates]
    return Rate(
        name=first.name,
        value=sum(rate.value * count for rate, count in rates) / sum(n for _, n in rates),
        identity=RateIdentity(
            name=joined(one.name for one in identities),
            version=joined(one.version for one in identities),
            date=joined(one.date for one in identities),
        ),
        source=joined(rate.source for rate, _ in rates),
        note=joined(rate.note for rate, _ in rates if rate.note) or None,
    )


def _rates(sku: Sku, version: str | None) -> FrozenMap[Rate]:
    figures = [
        figure
        for costs in sorted(sku.costs, key=lambda costs: costs.date)
        if version in (None, costs.version)
        for figure in costs.figures()
    ]
    # Later entries replace earlier ones, so the newest date remains.
    return FrozenMap({rate.name: rate for rate in map(_rate, figures)})


def _rate(figure: Figure) -> Rate:
    version = figure.version or ""
    return Rate(
        name=figure.name.removeprefix(f"costs[{version}]."),
        value=float(figure.value),
        identity=RateIdentity(name=figure.source, version=version, date=figure.date),
        source=figure.source,
        note=figure.note,
    )


@attrs.frozen(kw_only=True)
class TokenPrice:
    """A provider's prices for a model's tokens, in US dollars per million.

    `cached_input` is None where cached input tokens have no price of their own.
    """

    provider: str
    model: str
    input: float
    output: float
    identity: RateIdentity
    source: str
    cached_input: float | None = None


@attrs.frozen(kw_only=True, eq=False)
class PriceColumns:
    """Prices of each point's model, in US dollars per million tokens."""

    input: Column
    cached_input: Column
    output: Column


def price_columns(
    prices: Iterable[TokenPrice], models: Sequence[str | None], provider: str
) -> PriceColumns:
    """The prices of one provider for each point's model (None: not known).

    Raises:
        UsageError: the list has no such provider.
    """
    listed = tuple(prices)
    if provider not in {price.provider for price in listed}:
        names = ", ".join(dict.fromkeys(price.provider for price in listed))
        raise UsageError(
            f"no prices of provider {provider!r}", hint=f"providers: {names or 'none'}"
        )
    found = {price.model: price for price in listed if price.provider == provider}

    def column(name: str) -> Column:
        known = [None if model is None else found.get(model) for model in models]
        values = [None if price is None else getattr(price, name) for price in known]
        array = np.array(values, dtype=np.float64)
        hint = "{provider} has no {what} price of {model!r} in the list of prices"
        return Column(
            unit=PER_MILLION,
            values=array,
            half_widths=array * 0.0,
            hints=tuple(
                None
                if value is not None
                else hint.format(provider=provider, what=name.replace("_", " "), model=model)
                for value, model in zip(values, models, strict=True)
            ),
            rates=tuple(dict.fromkeys(price.identity for price in known if price)),
        )

    return PriceColumns(
        input=column("input"), cached_input=column("cached_input"), output=column("output")
    )
