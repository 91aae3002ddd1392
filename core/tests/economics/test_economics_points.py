"""Costs and provisioned power of the points of a report."""

from __future__ import annotations

import attrs
import pytest

from tokenbench.api import CostSet, Economics, Estimate, FrozenMap, PointResult, RateView, Sku
from tokenbench.economics.points import NamedRates, catalogue_rates, economics_of
from tokenbench.economics.rates import RateSet
from tokenbench_testing.samples import views

OLD = CostSet(
    version="v1",
    source="a list",
    date="2026-04",
    all_in_w=1700.0,
    usd_per_hour=FrozenMap(hyperscaler=1.0, neocloud=1.5),
)
NEW = CostSet(
    version="v2",
    source="a list",
    date="2026-07",
    usd_per_hour=FrozenMap(hyperscaler=2.0),
    note="a guess",
)
CHIP = Sku(name="chip", vendor="maker", source="a list", date="2026-04", costs=(OLD, NEW))


OTHER = Sku(
    name="costly",
    vendor="maker",
    source="a list",
    date="2026-04",
    costs=(
        CostSet(
            version="v1",
            source="another list",
            date="2026-05",
            all_in_w=2600.0,
            usd_per_hour=FrozenMap(neocloud=3.0),
        ),
    ),
)


def _point(hardware: str = "chip", **speeds: float) -> PointResult:
    metrics = {
        f"{name}.whole": Estimate(
            mean=mean, half_width=None if mean is None else mean / 10, values=()
        )
        for name, mean in speeds.items()
    }
    return views.point(hardware=hardware, metrics=FrozenMap(metrics))


def _economics(*results: PointResult, own: RateSet | None = None) -> Economics:
    names = [result.hardware for result in results]
    return economics_of(results, names, catalogue_rates([CHIP, OTHER], own, "mine.yaml"))


def _set(found: Economics, name: str, ownership: str) -> RateView:
    (one,) = [r for r in found.rates if (r.name, r.ownership) == (name, ownership)]
    return one


def test_every_set_has_the_numbers_of_every_point() -> None:
    """Cost, throughput per MW and joules with intervals, in the order of the points."""
    fast = _point(total_tok_s_per_accelerator=2000.0)
    slow = _point(total_tok_s_per_accelerator=500.0)
    found = _set(_economics(fast, slow), "v1", "neocloud")
    columns = {column.name: column for column in found.columns}
    assert set(columns) == {
        "usd_per_million_total_tokens.whole",
        "total_tok_s_per_mw.whole",
        "provisioned_j_per_total_token.whole",
    }
    cost = columns["usd_per_million_total_tokens.whole"]
    assert cost.values == pytest.approx((1.5 / 7.2, 1.5 / 1.8))
    assert cost.half_widths == pytest.approx((1.5 / 72, 1.5 / 18))
    assert cost.basis == "whole machine"
    assert columns["provisioned_j_per_total_token.whole"].values == pytest.approx((0.85, 3.4))
    assert found.identities == ("a list, v1 (2026-04)",)
    assert found.usd_per_hour == {"chip": 1.5} and found.all_in_w == {"chip": 1700.0}


def test_the_newest_figures_come_first_and_their_notes_stay() -> None:
    """Each figure of the newest set that has it, so versions may mix: both are named."""
    first = _economics(_point(total_tok_s_per_accelerator=1.0)).rates[0]
    assert (first.name, first.ownership) == ("newest", "hyperscaler")
    assert first.usd_per_hour == {"chip": 2.0} and first.all_in_w == {"chip": 1700.0}
    assert first.identities == ("a list, v1 (2026-04)", "a list, v2 (2026-07)")
    assert any("a guess" in note for note in first.notes)


def test_sets_without_any_figure_are_left_out() -> None:
    """v2 has no neocloud price and no power."""
    found = _economics(_point(total_tok_s_per_accelerator=1.0))
    names = {(one.name, one.ownership) for one in found.rates}
    assert ("v2", "neocloud") not in names and ("v2", "hyperscaler") in names


def test_unknown_hardware_has_no_cost_but_a_hint() -> None:
    """None, never 0, also where nothing at all is known."""
    found = _economics(_point("other", total_tok_s_per_accelerator=9.0))
    (one,) = found.rates
    cost = next(c for c in one.columns if c.name.startswith("usd_per_million_total"))
    assert cost.values == (None,)
    assert "--rates" in str(cost.hints[0])


def test_roles_have_costs_of_their_own() -> None:
    """Those of prefill and decode accelerators, where a deployment has them."""
    whole = _point(total_tok_s_per_accelerator=900.0)
    apart = _point(
        total_tok_s_per_accelerator=900.0,
        input_tok_s_per_prefill_accelerator=1000.0,
        output_tok_s_per_decode_accelerator=250.0,
    )
    found = _set(_economics(whole, apart), "v1", "hyperscaler")
    decode = next(c for c in found.columns if c.name.endswith("tokens_of_decode.whole"))
    assert decode.values == (None, pytest.approx(1 / 0.9))
    assert decode.basis == "per role"


def test_every_column_has_a_definition() -> None:
    """And the names are unique."""
    speeds = dict.fromkeys(
        (
            *("total_tok_s_per_accelerator", "input_tok_s_per_accelerator"),
            *("output_tok_s_per_accelerator", "input_tok_s_per_prefill_accelerator"),
            "output_tok_s_per_decode_accelerator",
        ),
        5.0,
    )
    found = _economics(_point(**speeds))
    names = [one.name for one in found.definitions]
    assert len(set(names)) == len(names)
    assert {column.name for rates in found.rates for column in rates.columns} <= set(names)


def test_the_users_rates_come_first_over_the_newest() -> None:
    """What the file does not have is the catalogue's."""
    mine = Sku(
        name="chip",
        vendor="me",
        source="my contract",
        date="2026-11",
        costs=(
            CostSet(
                version="mine",
                source="my contract",
                date="2026-11",
                usd_per_hour=FrozenMap(hyperscaler=9.0),
            ),
        ),
    )
    own = RateSet.from_catalogue([mine])
    first = _economics(_point(total_tok_s_per_accelerator=1.0), own=own).rates[0]
    assert first.name == "mine.yaml"
    assert first.usd_per_hour == {"chip": 9.0} and first.all_in_w == {"chip": 1700.0}
    assert isinstance(catalogue_rates([CHIP, OTHER], own, "x")[0], NamedRates)


def test_a_deployment_on_several_skus() -> None:
    """The mean over its accelerators; of a role, that role's own. Both add up to the whole."""
    point = attrs.evolve(
        _point(
            "2xchip+1xcostly",
            input_tok_s_per_accelerator=300.0,
            output_tok_s_per_accelerator=100.0,
            total_tok_s_per_accelerator=400.0,
            input_tok_s_per_prefill_accelerator=450.0,
            output_tok_s_per_decode_accelerator=300.0,
        ),
        accelerators=3,
        roles=FrozenMap(prefill=2, decode=1),
        role_hardware=FrozenMap(prefill="chip", decode="costly"),
    )
    found = _set(_economics(point), "v1", "neocloud")
    assert found.usd_per_hour == {"2xchip+1xcostly": pytest.approx(2.0)}
    assert found.all_in_w == {"2xchip+1xcostly": pytest.approx(2000.0)}
    assert found.identities == ("a list and another list, v1 (2026-04 and 2026-05)",)
    (total,), (prefill,), (decode,) = (
        next(c.values for c in found.columns if c.name == f"usd_per_million_{name}.whole")
        for name in ("total_tokens", "input_tokens_of_prefill", "output_tokens_of_decode")
    )
    an_hour = 3600 / 1e6
    # 900 input and 300 output tokens per second; two chips at 1.5, a costly one at 3 USD per hour.
    assert prefill * 900 * an_hour == pytest.approx(2 * 1.5)
    assert decode * 300 * an_hour == pytest.approx(3.0)
    assert total * 1200 * an_hour == pytest.approx(6.0)


def test_the_sku_without_a_price_is_named() -> None:
    """A part of the price would be a wrong one."""
    found = _economics(_point("2xchip+1xnew", total_tok_s_per_accelerator=1.0)).rates[0]
    assert found.usd_per_hour == {}
    (cost,) = (c for c in found.columns if c.name == "usd_per_million_total_tokens.whole")
    assert cost.values == (None,) and "'new'" in str(cost.hints[0])
