"""Costs and provisioned power of measured points, as reporters receive them. Plain data."""

from __future__ import annotations

import attrs

from .frozen import FrozenMap
from .result import MetricDefinition


@attrs.frozen(kw_only=True)
class DerivedColumn:
    """One derived number per point, in the order of the view's runs and of their results.

    `name` is that of a definition in :attr:`Economics.definitions`. None: the number cannot be
    derived, and `hints` says why (None where there is nothing to say: it was not measured).
    `half_widths` are those of 95 % intervals, 0 for exact numbers. `basis`: the accelerators that a
    cost carries, ``whole machine`` or ``per role``. Costs of input and output tokens on the basis
    ``whole machine`` describe the same money twice and must not be added.
    """

    name: str
    values: tuple[float | None, ...]
    half_widths: tuple[float | None, ...]
    hints: tuple[str | None, ...]
    basis: str | None = None


@attrs.frozen(kw_only=True)
class RateView:
    """All derived numbers at one set of rates.

    `name` is short (``v3``, or the name in the user's file). `ownership` is one of `OWNERSHIP`.
    `identities` name every dated set that entered a number. `usd_per_hour` (per accelerator-hour)
    and `all_in_w` (provisioned watts per accelerator) map a point's `hardware` to its figure;
    hardware without a figure is missing. `notes`: caveats of figures (a guess).
    """

    name: str
    ownership: str
    identities: tuple[str, ...]
    usd_per_hour: FrozenMap[float]
    all_in_w: FrozenMap[float]
    columns: tuple[DerivedColumn, ...]
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ListedPrice:
    """A provider's prices of a model's tokens, in US dollars per million. `cached_input` is None
    where cached input tokens have no price of their own. `identity`: the dated list.
    """

    provider: str
    model: str
    input: float
    output: float
    identity: str
    cached_input: float | None = None


@attrs.frozen(kw_only=True)
class GainAt:
    """Gains at one interactivity (tok/s/user), as ratios of throughput per accelerator.

    `gain`: all changes together / the base. `product`: the product of the gains of each change
    alone. `ratio`: gain / product, below 1 if the changes do not compose. Both are None for one
    change, and if a single change was not measured. Half-widths are of 95 % intervals, None without
    one.
    """

    interactivity: float
    gain: float
    gain_half_width: float | None = None
    product: float | None = None
    product_half_width: float | None = None
    ratio: float | None = None
    ratio_half_width: float | None = None


@attrs.frozen(kw_only=True)
class CombinedGain:
    """The gain of several changes of the base (``precision fp8 -> fp4``) together, from the lowest
    to the highest interactivity at which all of them were measured.

    `engines` are those on its frontier. `reason`: why `at`, or the products in it, are missing.
    """

    changes: tuple[str, ...]
    engines: tuple[str, ...]
    at: tuple[GainAt, ...] = ()
    reason: str | None = None


@attrs.frozen(kw_only=True)
class Composition:
    """Gains of the configurations of one family: one model, chip and workload. `base`: the
    configuration that they are compared with. `throughput`: the metric.
    """

    family: str
    base: str
    base_engines: tuple[str, ...]
    throughput: str
    gains: tuple[CombinedGain, ...]


@attrs.frozen(kw_only=True)
class Economics:
    """Derived numbers for each set of rates; the first set is the default.

    `definitions` has title, unit and formula of every column. `compositions`: gains of precision,
    disaggregation, wide EP and speculation, alone and together.
    """

    definitions: tuple[MetricDefinition, ...]
    rates: tuple[RateView, ...]
    prices: tuple[ListedPrice, ...] = ()
    compositions: tuple[Composition, ...] = ()
