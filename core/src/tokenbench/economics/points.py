"""Costs and provisioned power of the points of a report, at several sets of rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import numpy as np

from tokenbench.api import (
    DerivedColumn,
    Economics,
    FrozenMap,
    ListedPrice,
    PointResult,
    RateView,
    Sku,
)
from tokenbench.api.sku import OWNERSHIP

from .column import Column, from_estimates
from .cost import PER_ACCELERATOR, costs
from .definitions import COSTS, KINDS, ROLES, WINDOWS
from .power import provisioned_j_per_token, tok_s_per_mw
from .rates import ALL_IN_W, RateSet, TokenPrice


@attrs.frozen(kw_only=True)
class NamedRates:
    """A set of rates with the short name that reports show."""

    name: str
    rates: RateSet


def catalogue_rates(skus: Iterable[Sku], own: RateSet | None, own_name: str) -> list[NamedRates]:
    """The sets that a report offers: the user's merged over the catalogue's newest, then each
    catalogue version, newest first.

    The newest figures come first under the name ``newest``, which may mix versions.
    """
    chips = tuple(skus)
    newest = RateSet.from_catalogue(chips)
    dates: dict[str, str] = {}
    for sku in chips:
        for costs_ in sku.costs:
            dates[costs_.version] = max(dates.get(costs_.version, ""), costs_.date)
    versions = sorted(dates, key=lambda version: (dates[version], version), reverse=True)
    found = [NamedRates(name=own_name, rates=own.over(newest))] if own is not None else []
    found.append(NamedRates(name="newest", rates=newest))
    found += [
        NamedRates(name=version, rates=RateSet.from_catalogue(chips, version))
        for version in versions
    ]
    return found


def economics_of(
    results: Sequence[PointResult],
    skus: Sequence[str | None],
    sets: Sequence[NamedRates],
    prices: Iterable[TokenPrice] = (),
) -> Economics:
    """All derived numbers.

    Args:
        skus: the catalogue's name of each point's hardware; None: unknown.
    """
    speeds = {name: _speed(results, name) for name in _speed_names()}
    views = [
        _view(one, ownership, results, skus, speeds) for one in sets for ownership in OWNERSHIP
    ]
    # Skip sets without any figure for this hardware, except the first, which has the hints.
    views = [view for view in views if view.usd_per_hour or view.all_in_w] or views[:1]
    return Economics(
        definitions=COSTS,
        rates=tuple(views),
        prices=tuple(
            ListedPrice(
                provider=price.provider,
                model=price.model,
                input=price.input,
                output=price.output,
                cached_input=price.cached_input,
                identity=str(price.identity),
            )
            for price in prices
        ),
    )


def _speed_names() -> Iterator[str]:
    for window in WINDOWS:
        yield from (f"{kind}_tok_s_per_accelerator.{window}" for kind in KINDS)
        yield from (f"{k}_tok_s_per_{role}_accelerator.{window}" for k, role in ROLES.items())


def _speed(results: Sequence[PointResult], name: str) -> Column:
    return from_estimates((result.metrics.get(name) for result in results), PER_ACCELERATOR)


def _view(
    named: NamedRates,
    ownership: str,
    results: Sequence[PointResult],
    skus: Sequence[str | None],
    speeds: dict[str, Column],
) -> RateView:
    rates = named.rates
    usd, power = rates.usd_per_hour(skus, ownership), rates.all_in_w(skus)
    by_role = {
        role: rates.usd_per_hour(
            [
                (result.role_hardware or FrozenMap[str]()).get(role, sku)
                for result, sku in zip(results, skus, strict=True)
            ],
            ownership,
        )
        for role in ROLES.values()
    }
    columns = [
        column for window in WINDOWS for column in _columns(window, usd, by_role, power, speeds)
    ]
    pairs = dict(zip((result.hardware for result in results), skus, strict=True))
    used = {
        hardware: (rates.find(sku, f"usd_per_hour.{ownership}"), rates.find(sku, ALL_IN_W))
        for hardware, sku in sorted(pairs.items())
    }
    figures = [rate for both in used.values() for rate in both if rate is not None]
    return RateView(
        name=named.name,
        ownership=ownership,
        identities=tuple(sorted({str(rate.identity) for rate in figures})),
        usd_per_hour=FrozenMap({key: r.value for key, (r, _) in used.items() if r is not None}),
        all_in_w=FrozenMap({key: r.value for key, (_, r) in used.items() if r is not None}),
        columns=tuple(columns),
        notes=tuple(
            f"{hardware}, {rate.name}: {rate.note}"
            for hardware, both in used.items()
            for rate in both
            if rate is not None and rate.note
        ),
    )


def _columns(
    window: str,
    usd: Column,
    by_role: dict[str, Column],
    power: Column,
    speeds: dict[str, Column],
) -> Iterator[DerivedColumn]:
    """The columns, without those of throughputs that no point has."""
    speed = {kind: speeds[f"{kind}_tok_s_per_accelerator.{window}"] for kind in KINDS}
    side = {k: speeds[f"{k}_tok_s_per_{role}_accelerator.{window}"] for k, role in ROLES.items()}
    found = costs(
        usd,
        total_tok_s=speed["total"],
        input_tok_s=speed["input"],
        output_tok_s=speed["output"],
        input_tok_s_per_prefill=side["input"],
        output_tok_s_per_decode=side["output"],
        **{f"usd_per_hour_{role}": column for role, column in by_role.items()},
    )
    for kind in KINDS:
        if np.isnan(speed[kind].values).all():
            continue
        yield _derived(f"usd_per_million_{kind}_tokens.{window}", getattr(found, kind))
        yield _derived(f"{kind}_tok_s_per_mw.{window}", tok_s_per_mw(speed[kind], power))
        joules = provisioned_j_per_token(speed[kind], power)
        yield _derived(f"provisioned_j_per_{kind}_token.{window}", joules)
    for kind, role in ROLES.items():
        if not np.isnan(side[kind].values).all():
            yield _derived(
                f"usd_per_million_{kind}_tokens_of_{role}.{window}", getattr(found, role)
            )


def _derived(name: str, column: Column) -> DerivedColumn:
    return DerivedColumn(
        name=name,
        values=column.listed(),
        half_widths=column.listed_half_widths(),
        hints=column.hints,
        basis=column.basis,
    )
