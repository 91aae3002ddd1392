"""Costs, revenue, margins and power: by hand, as properties, and never from an unknown number."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.economics import cost, power
from tokenbench.economics.column import Basis, Column, RateIdentity, exact, measured

amounts = st.floats(min_value=1e-3, max_value=1e6)
counts = st.integers(min_value=1, max_value=512)
LISTS = (
    RateIdentity(name="chips", version="v2", date="2026-07-31"),
    RateIdentity(name="prices", version="v1", date="2026-10"),
)


def stated(value: float | None, unit: str, identity: RateIdentity, hint: str = "") -> Column:
    """A rate or a price of a dated set; with a hint where it is unknown."""
    return Column(
        unit=unit,
        values=np.array([math.nan if value is None else value]),
        half_widths=np.array([math.nan if value is None else 0.0]),
        hints=(hint if value is None else None,),
        rates=(identity,),
    )


@given(speed=amounts, rate=amounts)
def test_cost_times_throughput_is_the_rate(speed: float, rate: float) -> None:
    """Dollars per million tokens times millions of tokens per hour is dollars per hour."""
    (found,) = cost.usd_per_million_tokens(speed, rate).listed()
    assert found is not None
    assert found * speed * 3600 / 1e6 == pytest.approx(rate, rel=1e-12)


@given(tokens_in=amounts, tokens_out=amounts, prefill=counts, decode=counts, rate=amounts)
def test_costs_per_role_add_up_to_the_machine(
    tokens_in: float, tokens_out: float, prefill: int, decode: int, rate: float
) -> None:
    """An hour of both roles' tokens costs what the accelerators cost. Those of the whole machine
    count it twice.
    """
    both = prefill + decode
    found = cost.costs(
        rate,
        total_tok_s=(tokens_in + tokens_out) / both,
        input_tok_s=tokens_in / both,
        output_tok_s=tokens_out / both,
        input_tok_s_per_prefill=tokens_in / prefill,
        output_tok_s_per_decode=tokens_out / decode,
    )

    def dollars(column: Column, tokens: float) -> float:
        return float(column.values[0] * tokens * 3600 / 1e6)

    machine = pytest.approx(rate * both, rel=1e-9)
    assert dollars(found.prefill, tokens_in) + dollars(found.decode, tokens_out) == machine
    assert dollars(found.total, tokens_in + tokens_out) == machine
    assert dollars(found.input, tokens_in) == machine
    assert dollars(found.output, tokens_out) == machine
    assert {found.input.basis, found.output.basis} == {Basis.WHOLE_MACHINE}
    assert {found.prefill.basis, found.decode.basis} == {Basis.PER_ROLE}


def test_an_aggregated_point_has_no_cost_per_role() -> None:
    """None beside one that has it, in the same columns."""
    found = cost.costs(
        1.8,
        total_tok_s=[1000.0, 1000.0],
        input_tok_s=[500.0, 500.0],
        output_tok_s=[500.0, 500.0],
        input_tok_s_per_prefill=[None, 1000.0],
        output_tok_s_per_decode=[None, 1000.0],
    )
    assert found.prefill.listed() == (None, 0.5) == found.decode.listed()
    assert found.input.listed() == (1.0, 1.0)


def test_revenue_by_hand() -> None:
    """1,000 tok/s: 3.6 million tokens per hour, 80 % input, a quarter of it from the cache."""
    revenue = cost.revenue_per_hour(
        1000.0,
        input_share=0.8,
        hit_share=0.25,
        input_price=0.5,
        cached_input_price=0.1,
        output_price=2.0,
    )
    by_hand = 3.6 * 0.8 * 0.75 * 0.5 + 3.6 * 0.8 * 0.25 * 0.1 + 3.6 * 0.2 * 2.0
    assert revenue.values[0] == pytest.approx(by_hand, rel=1e-12)
    assert cost.blended_margin(1.0, revenue).values[0] == pytest.approx(1 - 1.0 / by_hand)


def test_cached_tokens_without_a_price_have_no_revenue() -> None:
    """The full price is not assumed for them; without hits no price is needed."""
    revenue = functools.partial(
        cost.revenue_per_hour, 1000.0, input_share=0.5, input_price=0.5, output_price=2.0
    )
    assert revenue(hit_share=0.0).listed() == (4.5,)
    without = revenue(hit_share=[0.0, 0.1])
    assert without.listed() == (4.5, None)
    assert without.hints == (None, "no price of cached input tokens is known")
    assert revenue(hit_share=None, cached_input_price=0.1).listed() == (None,)


def test_margins_of_sides_keep_their_basis() -> None:
    """1 - cost / price; a whole-machine cost above the price is a loss on that view."""
    whole = cost.usd_per_million_tokens([1000.0, 100.0], 1.8)
    margin = cost.side_margin(whole, 2.0)
    assert margin.values.tolist() == pytest.approx([0.75, -1.5])
    assert margin.basis == Basis.WHOLE_MACHINE
    assert cost.side_margin(whole, 0.0).listed() == (None, None)


def test_every_derived_number_names_its_sets() -> None:
    """A margin has the identity of the rates and that of the prices."""
    rate = stated(1.8, cost.PER_HOUR, LISTS[0])
    price = stated(2.0, cost.PER_MILLION, LISTS[1])
    found = cost.usd_per_million_tokens([1000.0, 500.0], rate)
    assert found.rates == LISTS[:1]
    assert cost.side_margin(found, price).rates == LISTS
    assert cost.per_month(rate, 8).rates == LISTS[:1]
    assert str(LISTS[0]) == "chips, v2 (2026-07-31)"


@given(speed=amounts, watts=amounts)
def test_power_and_energy_agree(speed: float, watts: float) -> None:
    """Tokens per second and MW times joules per token is 10^6 joules per second and MW."""
    per_mw = power.tok_s_per_mw(speed, watts).values[0]
    joules = power.provisioned_j_per_token(speed, watts).values[0]
    assert per_mw * joules == pytest.approx(1e6, rel=1e-12)
    # The definitions in kilowatts.
    assert per_mw == pytest.approx(speed * 1000 / (watts / 1000), rel=1e-12)


@given(count=st.integers(0, 10**6), watts=st.integers(10, 5000))
def test_a_fleet_fills_its_budget(count: int, watts: int) -> None:
    """Power for exactly n accelerators gives n, rounding or not; a watt less gives n - 1."""
    assert power.fleet(count * watts / 1e6, watts).listed() == (count,)
    if count:
        assert power.fleet((count * watts - 1) / 1e6, watts).listed() == (count - 1,)


COST = cost.usd_per_million_tokens(1000.0, 1.8)
FUNCTIONS: tuple[tuple[Callable[..., Column], dict[str, Any]], ...] = (
    (cost.usd_per_million_tokens, {"tok_s_per_accelerator": 1000.0, "usd_per_hour": 1.8}),
    (
        cost.revenue_per_hour,
        {
            "total_tok_s_per_accelerator": 1000.0,
            "input_share": 0.5,
            "hit_share": 0.5,
            "input_price": 0.5,
            "output_price": 2.0,
            "cached_input_price": 0.1,
        },
    ),
    (cost.blended_margin, {"usd_per_hour": 1.8, "revenue": 4.5}),
    (cost.side_margin, {"cost": COST, "price": 2.0}),
    (cost.per_month, {"usd_per_hour": 1.8, "accelerators": 8}),
    (power.tok_s_per_mw, {"tok_s_per_accelerator": 1000.0, "all_in_w": 1710.0}),
    (power.provisioned_j_per_token, {"tok_s_per_accelerator": 1000.0, "all_in_w": 1710.0}),
    (power.fleet, {"budget_mw": 1.0, "all_in_w": 1710.0}),
)


@pytest.mark.parametrize(("function", "known"), FUNCTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_no_number_is_derived_from_none(function: Callable[..., Column], known: dict) -> None:
    """Each input in turn is unknown: so is the result, with the input's hint; never 0."""
    (whole,) = function(**known).listed()
    assert whole is not None
    for name, value in known.items():
        basis = value.basis if isinstance(value, Column) else None
        hidden = stated(None, "any", LISTS[0], hint=f"no {name}")
        unknown = Column(
            unit=hidden.unit,
            values=hidden.values,
            half_widths=hidden.half_widths,
            hints=hidden.hints,
            basis=basis,
        )
        found = function(**{**known, name: unknown})
        assert found.listed() == (None,) == found.listed_half_widths(), name
        assert found.hints == (f"no {name}",)


@pytest.mark.parametrize(("function", "known"), FUNCTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_columns_are_elementwise(function: Callable[..., Column], known: dict) -> None:
    """Three points at once, the middle one unknown, are three calls."""
    name = next(name for name, value in known.items() if not isinstance(value, Column))
    found = function(**{**known, name: [known[name], None, known[name]]})
    (single,) = function(**known).listed()
    assert found.listed() == (single, None, single)


def test_zero_throughput_has_no_cost_and_says_why() -> None:
    """Measured zero: the cost is not infinite and not zero, but undefined."""
    found = cost.usd_per_million_tokens([0.0, 1000.0], 1.8)
    assert found.listed() == (None, 0.5)
    assert found.hints == ("the throughput is 0: no token was processed", None)


def test_numbers_have_one_entry_per_point() -> None:
    """A table is refused, and so are columns of different lengths."""
    with pytest.raises(ValueError, match="one number per point"):
        measured([[1.0]], "tok/s")
    with pytest.raises(ValueError, match="broadcast"):
        cost.usd_per_million_tokens([1.0, 2.0], exact([1.0, 2.0, 3.0], cost.PER_HOUR))
