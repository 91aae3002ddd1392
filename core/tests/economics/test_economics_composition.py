"""Gains of changes alone and together: cases computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tokenbench.api import (
    CombinedGain,
    Composition,
    Estimate,
    FrozenMap,
    Measurement,
    PointResult,
)
from tokenbench.economics.composition import compositions
from tokenbench_testing.samples import views

BOTH = ("precision fp8 -> fp4", "speculation none -> mtp")


def point(x: float, y: float, *, half: float | None = None, **changes: Any) -> PointResult:
    """A point at interactivity x with throughput y; its interactivity is exact."""
    metrics = {
        "interactivity_tok_s.p50": Estimate(mean=x, half_width=half and 0.0, values=(x,)),
        "total_tok_s_per_accelerator.whole": Estimate(mean=y, half_width=half, values=(y,)),
    }
    facts: dict[str, Any] = {"precision": "fp8", "speculation": "none", "layout": "tp8"}
    return views.point(1, **{**facts, "metrics": FrozenMap(metrics), **changes})


def line(factor: float, *, half: float | None = None, **changes: Any) -> list[PointResult]:
    """Two points: 100 x factor at 20 tok/s/user, 50 x factor at 40, each +- half of its value."""
    return [
        point(x, y * factor, half=half and half * y * factor, **changes)
        for x, y in ((20.0, 100.0), (40.0, 50.0))
    ]


def family(*groups: list[PointResult]) -> Composition:
    """The only family of these points."""
    (found,) = compositions([point for group in groups for point in group])
    return found


def gains(found: Composition) -> dict[tuple[str, ...], CombinedGain]:
    """By the changes."""
    return {gain.changes: gain for gain in found.gains}


def test_two_changes_against_the_product_of_each() -> None:
    """2 x 1.5 promises 3, together they give 2.4: 0.8 of it, at every interactivity."""
    found = family(
        line(1),
        line(2, precision="fp4"),
        line(1.5, speculation="mtp"),
        line(2.4, precision="fp4", speculation="mtp"),
    )
    assert found.base == "precision fp8, disaggregation no, wide EP no, speculation none"
    single = gains(found)[BOTH[:1]]
    assert [at.gain for at in single.at] == pytest.approx([2, 2, 2])
    assert [at.product for at in single.at] == [None] * 3
    together = gains(found)[BOTH]
    assert [at.interactivity for at in together.at] == pytest.approx([20, math.sqrt(800), 40])
    for at in together.at:
        assert (at.gain, at.product, at.ratio) == pytest.approx((2.4, 3, 0.8))
        assert at.gain_half_width is at.product_half_width is at.ratio_half_width is None
    assert together.reason is None


def test_intervals_flow_from_the_repeats() -> None:
    """Relative half-widths of base, singles and both are 1 %, 2 %, 3 % and 4 % at the knots. The
    base enters the gain once, the product of two gains twice, and their ratio once.
    """
    found = family(
        line(1, half=0.01),
        line(2, half=0.02, precision="fp4"),
        line(1.5, half=0.03, speculation="mtp"),
        line(2.4, half=0.04, precision="fp4", speculation="mtp"),
    )
    at = gains(found)[BOTH].at[0]
    assert at.gain_half_width == pytest.approx(2.4 * math.hypot(0.04, 0.01), rel=1e-4)
    assert at.product_half_width == pytest.approx(3 * math.hypot(0.02, 0.03, 2 * 0.01), rel=1e-4)
    assert at.ratio_half_width == pytest.approx(0.8 * math.hypot(0.04, 0.02, 0.03, 0.01), rel=1e-4)


def test_three_changes_with_one_not_measured_alone() -> None:
    """There is a gain, but no product, and the reason names what is missing."""
    roles = FrozenMap({"prefill": 8, "decode": 32})
    wide = {"roles": roles, "layout": "prefill:tp8+decode:tp8ep32"}
    found = family(
        line(1),
        line(2, precision="fp4"),
        line(3, roles=roles, layout="prefill:tp8+decode:4xtp8"),
        line(12, precision="fp4", **wide),
    )
    (name,) = [changes for changes in gains(found) if len(changes) == 3]
    assert name == ("precision fp8 -> fp4", "disaggregation no -> yes", "wide EP no -> yes")
    three = gains(found)[name]
    assert [at.gain for at in three.at] == pytest.approx([12, 12, 12])
    assert {at.product for at in three.at} == {None}
    assert three.reason == "not measured alone: wide EP no -> yes"


def test_no_gain_outside_of_what_was_measured() -> None:
    """Curves without a common interactivity have none; one that meets the others in a part of their
    range is compared there.
    """
    found = family(
        line(1),
        [point(50.0, 90.0, precision="fp4"), point(60.0, 80.0, precision="fp4")],
        [point(30.0, 90.0, speculation="mtp"), point(90.0, 30.0, speculation="mtp")],
    )
    fp4, mtp = gains(found)[BOTH[:1]], gains(found)[BOTH[1:]]
    assert fp4.at == () and fp4.reason == "no interactivity was measured with and without"
    assert (mtp.at[0].interactivity, mtp.at[-1].interactivity) == (30.0, 40.0)
    assert mtp.at[0].gain == pytest.approx(90 / 75)


def test_a_throughput_of_zero_has_no_gain() -> None:
    """On either side; the other points still have one."""
    found = family([point(30.0, 0.0), *line(1)], line(2, precision="fp4"))
    assert gains(found)[BOTH[:1]].at[0].gain == pytest.approx(2)
    nothing = family([point(30.0, 0.0)], line(2, precision="fp4"))
    assert gains(nothing)[BOTH[:1]].at == ()


def test_the_base_has_what_all_have() -> None:
    """Where everything speculates, speculation is no change; the widest precision is the base."""
    found = family(
        line(1, precision="bf16", speculation="mtp"),
        line(2, precision="fp8", speculation="mtp"),
        line(3, precision="fp4", speculation="mtp"),
    )
    assert found.base.startswith("precision bf16") and found.base.endswith("speculation mtp")
    assert list(gains(found)) == [("precision bf16 -> fp4",), ("precision bf16 -> fp8",)]


def test_engines_are_families_and_one_across_them() -> None:
    """Disaggregation by another engine: only the family across engines has its gain, and says which
    engines it compares.
    """
    apart = {"roles": FrozenMap({"prefill": 8, "decode": 8}), "layout": "prefill:tp8+decode:tp8"}
    points = [
        *line(1, engine="one"),
        *line(2, engine="one", precision="fp4"),
        *line(5, engine="other", **apart),
    ]
    one, across = compositions(points)
    assert "one" in one.family and "any engine" in across.family
    assert list(gains(one)) == [BOTH[:1]]
    (split,) = [g for g in across.gains if g.changes == ("disaggregation no -> yes",)]
    assert split.engines == ("other",) and split.at[0].gain == pytest.approx(5)
    assert across.base_engines == ("one",)


@pytest.mark.parametrize(
    "facts",
    [
        {"speculation": None},
        {"precision": None},
        {"layout": "unknown"},
        {"measurement": Measurement.INVALID},
    ],
)
def test_points_of_unknown_configuration_take_no_part(facts: dict[str, Any]) -> None:
    """Nor do invalid ones: their family has one configuration, and no gain."""
    assert compositions([*line(1), *line(9, **{"precision": "fp4", **facts})]) == ()
