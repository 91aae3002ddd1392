"""Cost of tokens, revenue and margin.

Throughputs are in tokens per second and accelerator, rates in US dollars per accelerator-hour,
costs and prices in US dollars per million tokens. The formulas follow from these units.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from .column import Basis, Column, Floats, Numbers, exact, first_order, measured
from .definitions import PER_MILLION

HOURS_PER_MONTH = 730.0
"""365 days of 24 hours / 12."""
_MILLIONS_PER_HOUR = 3600 / 1e6
_NO_CACHED = "no price of cached input tokens is known"
_NO_TOKENS = "the throughput is 0: no token was processed"
PER_ACCELERATOR = "tok/s/accelerator"
PER_HOUR = "USD/accelerator/h"


def usd_per_million_tokens(
    tok_s_per_accelerator: Numbers,
    usd_per_hour: Numbers,
    *,
    basis: Basis = Basis.WHOLE_MACHINE,
) -> Column:
    """Cost per million tokens: rate / (throughput * 3600 / 1e6).

    It is the cost of total, input or output tokens, whichever `tok_s_per_accelerator` counts. For
    the basis ``per role`` it counts input tokens per prefill accelerator, or output tokens per
    decode accelerator. `usd_per_hour` is per accelerator; the interval is the throughput's:
    h_cost = cost * h_throughput / throughput.

    >>> usd_per_million_tokens([1000.0, None], 1.8).listed()
    (0.5, None)
    """
    speed = measured(tok_s_per_accelerator, PER_ACCELERATOR)
    rate = exact(usd_per_hour, PER_HOUR)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_rate = 1 / (speed.values * _MILLIONS_PER_HOUR)
        cost = rate.values * per_rate
        slope = -cost / speed.values
    return first_order(
        PER_MILLION,
        cost,
        [(speed, slope), (rate, per_rate)],
        basis=basis,
        undefined=_NO_TOKENS,
    )


@attrs.frozen(kw_only=True, eq=False)
class Costs:
    """Costs per million tokens of the same points.

    `input` and `output` each carry the whole machine: **never add them**. `prefill` and `decode`
    are the costs of input and output tokens of the accelerators of their role; None for aggregated
    points. They add up: tokens times cost of both sides is the cost of the whole deployment.
    """

    total: Column
    input: Column
    output: Column
    prefill: Column
    decode: Column


def costs(
    usd_per_hour: Numbers,
    *,
    total_tok_s: Numbers,
    input_tok_s: Numbers,
    output_tok_s: Numbers,
    input_tok_s_per_prefill: Numbers = None,
    output_tok_s_per_decode: Numbers = None,
    usd_per_hour_prefill: Numbers = None,
    usd_per_hour_decode: Numbers = None,
) -> Costs:
    """All costs of the same points.

    The first three throughputs are per accelerator of the whole deployment, the others per
    accelerator of their role. `usd_per_hour` is per accelerator; if the roles have different rates,
    it is their mean, and the last two arguments are the rate of each role.
    """
    whole = [
        usd_per_million_tokens(speed, usd_per_hour)
        for speed in (total_tok_s, input_tok_s, output_tok_s)
    ]
    sides = [
        usd_per_million_tokens(speed, usd_per_hour if own is None else own, basis=Basis.PER_ROLE)
        for speed, own in (
            (input_tok_s_per_prefill, usd_per_hour_prefill),
            (output_tok_s_per_decode, usd_per_hour_decode),
        )
    ]
    return Costs(total=whole[0], input=whole[1], output=whole[2], prefill=sides[0], decode=sides[1])


def revenue_per_hour(
    total_tok_s_per_accelerator: Numbers,
    *,
    input_share: Numbers,
    hit_share: Numbers,
    input_price: Numbers,
    output_price: Numbers,
    cached_input_price: Numbers = None,
) -> Column:
    """Revenue in US dollars per accelerator-hour.

    The formula, with prices per million tokens::

        3600e-6 * tok/s * (in * ((1 - hit) * p_in + hit * p_cached) + (1 - in) * p_out)

    Args:
        input_share: input tokens / all tokens, 0 to 1.
        hit_share: share of the input tokens that the prefix cache had, 0 to 1. None is unknown:
            pass 0 for a deployment without prefix cache.
        cached_input_price: None where there is none; then a `hit_share` above 0 has no revenue.

    >>> revenue_per_hour(1000.0, input_share=0.5, hit_share=0.0, input_price=0.5,
    ...                  output_price=2.0).listed()
    (4.5,)
    """
    speed = measured(total_tok_s_per_accelerator, PER_ACCELERATOR)
    share, hit = exact(input_share, "share"), exact(hit_share, "share")
    full, out = exact(input_price, PER_MILLION), exact(output_price, PER_MILLION)
    cached = _cached_price(exact(cached_input_price, PER_MILLION), hit.values)
    by_input = (1 - hit.values) * full.values + hit.values * cached.values
    price = share.values * by_input + (1 - share.values) * out.values
    scale = _MILLIONS_PER_HOUR * speed.values
    return first_order(
        PER_HOUR,
        scale * price,
        [
            (speed, _MILLIONS_PER_HOUR * price),
            (share, scale * (by_input - out.values)),
            (hit, scale * share.values * (cached.values - full.values)),
            (full, scale * share.values * (1 - hit.values)),
            (cached, scale * share.values * hit.values),
            (out, scale * (1 - share.values)),
        ],
    )


def _cached_price(price: Column, hit: Floats) -> Column:
    """The cached price; 0 where nothing was cached; a hint where it is missing."""
    values, hits = np.broadcast_arrays(price.values, hit)
    values = np.where(np.isnan(values) & (hits == 0), 0.0, values)
    hints = tuple(
        (price.hints[index if len(price) > 1 else 0] or _NO_CACHED) if math.isnan(value) else None
        for index, value in enumerate(values.tolist())
    )
    return attrs.evolve(price, values=values, half_widths=values * 0.0, hints=hints)


def blended_margin(usd_per_hour: Numbers, revenue: Numbers) -> Column:
    """1 - rate / revenue, both in US dollars per accelerator-hour: the margin over all tokens.

    Its interval: rate / revenue^2 * h_revenue.

    >>> blended_margin(1.8, [4.5, 0.9]).listed()
    (0.6, -1.0)
    """
    rate, sold = exact(usd_per_hour, PER_HOUR), measured(revenue, PER_HOUR)
    return _margin(rate, sold, Basis.WHOLE_MACHINE, "the revenue is 0")


def side_margin(cost: Column, price: Numbers) -> Column:
    """1 - cost / price of input or of output tokens, both in US dollars per million.

    The basis is that of `cost`: for the whole machine, both margins describe the same money, and
    neither their sum nor their mean has a meaning.
    """
    return _margin(cost, exact(price, PER_MILLION), cost.basis, "the price is 0")


def _margin(spent: Column, earned: Column, basis: Basis | None, undefined: str) -> Column:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = spent.values / earned.values
        return first_order(
            "share",
            1 - ratio,
            [(spent, -1 / earned.values), (earned, ratio / earned.values)],
            basis=basis,
            undefined=undefined,
        )


def per_month(usd_per_hour: Numbers, accelerators: Numbers) -> Column:
    """US dollars per month of 730 hours for a number of accelerators: cost or revenue.

    >>> per_month(2.0, 100).listed()
    (146000.0,)
    """
    rate, count = exact(usd_per_hour, PER_HOUR), exact(accelerators, "accelerators")
    hours = HOURS_PER_MONTH
    return first_order(
        "USD/month",
        rate.values * count.values * hours,
        [(rate, count.values * hours), (count, rate.values * hours)],
    )
