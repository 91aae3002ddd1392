"""Cost, revenue and fleet of a series at chosen interactivities.

The HTML report computes the same in the browser, where a reader chooses the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.api import PointResult

from .column import Column, Floats, Numbers, from_estimates
from .cost import (
    PER_ACCELERATOR,
    blended_margin,
    costs,
    per_month,
    revenue_per_hour,
    side_margin,
)
from .curve import frontier_curve, throughput_metric
from .definitions import KINDS
from .power import fleet
from .rates import PriceColumns

_INTERACTIVITY = "interactivity_tok_s.p50"


@attrs.frozen(kw_only=True, eq=False)
class Calculation:
    """One series; each column has an entry per interactivity.

    `input`, `output` and their margins each carry the whole machine, so they are never added.
    `faster`: cost per token at the faster tier / at this interactivity. `accelerators`: number in
    the power budget; `cost_month` and `revenue_month` are for all of them.
    """

    throughput: Column
    total: Column
    input: Column
    output: Column
    faster: Column
    revenue: Column
    margin: Column
    margin_input: Column
    margin_output: Column
    accelerators: Column
    cost_month: Column
    revenue_month: Column


def calculate(
    points: Sequence[PointResult],
    at: Sequence[float],
    *,
    usd_per_hour: Column,
    all_in_w: Column,
    prices: PriceColumns | None = None,
    hit_share: float = 0.0,
    faster: float | None = None,
    budget_mw: float | None = None,
) -> Calculation:
    """All figures of a series, from the curve through the frontier of its points.

    Args:
        at: interactivities, tok/s/user; nothing is extrapolated.
        usd_per_hour: rate of the series' hardware, one entry; `all_in_w` likewise.
        prices: of its model, one entry each; None: there is no revenue.
        hit_share: share of the input tokens that are in the prefix cache.
        faster: interactivity of the faster tier.
        budget_mw: power budget of the fleet.
    """
    window = throughput_metric(points).rpartition(".")[2]
    speeds = {
        kind: _column(points, f"{kind}_tok_s_per_accelerator.{window}", PER_ACCELERATOR)
        for kind in KINDS
    }
    curve = frontier_curve(_column(points, _INTERACTIVITY, "tok/s/user"), speeds["total"])
    total = curve.at(at)
    sides = {
        kind: curve.carrying(speeds[kind], PER_ACCELERATOR).at(at) for kind in ("input", "output")
    }
    found = costs(
        usd_per_hour, total_tok_s=total, input_tok_s=sides["input"], output_tok_s=sides["output"]
    )
    revenue = revenue_per_hour(
        total,
        input_share=_share(sides["input"].values, sides["output"].values),
        hit_share=hit_share,
        input_price=prices.input if prices else None,
        output_price=prices.output if prices else None,
        cached_input_price=prices.cached_input if prices else None,
    )
    accelerators = fleet(budget_mw, all_in_w)
    return Calculation(
        throughput=total,
        total=found.total,
        input=found.input,
        output=found.output,
        faster=curve.faster_tier_price(list(at), faster),
        revenue=revenue,
        margin=blended_margin(usd_per_hour, revenue),
        margin_input=side_margin(found.input, prices.input if prices else None),
        margin_output=side_margin(found.output, prices.output if prices else None),
        accelerators=accelerators,
        cost_month=per_month(usd_per_hour, accelerators),
        revenue_month=per_month(revenue, accelerators),
    )


def _column(points: Sequence[PointResult], name: str, unit: str) -> Column:
    return from_estimates([point.metrics.get(name) for point in points], unit)


def _share(part: Floats, rest: Floats) -> Numbers:
    with np.errstate(invalid="ignore"):
        share: Floats = part / (part + rest)
    return share
