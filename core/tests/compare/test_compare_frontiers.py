"""Frontier against frontier: at equal interactivity, never extrapolated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from tokenbench.api import (
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointResult,
    PointState,
)
from tokenbench.compare.frontiers import INTERACTIVITY, FrontierPair, frontiers

STEADY, WHOLE = (f"total_tok_s_per_accelerator.{window}" for window in ("steady", "whole"))


def _run(
    knots: Sequence[tuple[float, float]], *, half: float | None = None, **changes: Any
) -> list[PointResult]:
    """Points of one run; `half`: relative half-width of throughput."""
    points = []
    for number, (x, y) in enumerate(knots):
        widths = None if half is None else half * y
        metrics = {
            INTERACTIVITY: Estimate(mean=x, half_width=None if half is None else 0.0, values=(x,)),
            WHOLE: Estimate(mean=y, half_width=widths, values=(y,)),
        }
        facts: dict[str, Any] = {
            "point": f"p{number}",
            "run": "r",
            "deployment": f"d{number}",
            "engine": "e",
            "engine_version": "1",
            "model": "m",
            "precision": "fp8",
            "hardware": "h100",
            "accelerators": 8,
            "layout": f"tp{number + 1}",
            "workload": "w",
            "workload_options": FrozenMap({}),
            "level": LoadLevel(concurrency=2**number),
            "state": PointState.DONE,
            "repeats": 3,
            "metrics": FrozenMap(metrics),
            "measurement": Measurement.IMPORTED,
            "checks": (),
        }
        points.append(PointResult(**{**facts, **changes}))
    return points


def _one(*args: Any, **options: Any) -> FrontierPair:
    (found,) = frontiers(*args, **options)
    return found


def test_lines_at_equal_interactivity() -> None:
    """Two lines: values, ratios and the area are known. Layouts and versions need not match."""
    a = _run([(20, 1000), (60, 200)])
    b = _run([(20, 1100), (60, 220)], engine_version="2", layout="tp8")
    found = _one(a, b, at=[20, 40, 60])
    assert [at.a for at in found.at] == pytest.approx([1000, 600, 200])
    assert [at.speed_up for at in found.at] == pytest.approx([1.1] * 3)
    assert [at.cost_ratio for at in found.at] == pytest.approx([1 / 1.1] * 3)
    assert found.area == pytest.approx(0.1) and found.points == (2, 2)
    assert (found.low, found.high) == (20, 60)


def test_only_where_both_were_measured() -> None:
    """Outside of a range there is no value; without a common range there is no area."""
    found = _one(_run([(20, 1000), (60, 200)]), _run([(40, 700), (80, 100)]), at=[30, 50, 70])
    assert (found.low, found.high) == (40, 60)
    assert [at.b is None for at in found.at] == [True, False, False]
    assert [at.speed_up is None for at in found.at] == [True, False, True]
    apart = _one(_run([(20, 1000), (30, 900)]), _run([(40, 700), (80, 100)]))
    assert (apart.low, apart.area, apart.at) == (None, None, ())


def test_without_a_steady_state_the_whole_repeat_counts() -> None:
    """Results of bench have every metric, with None for what was not measured."""
    unknown = Estimate(mean=None, half_width=None, values=(None,))
    knots = [(20.0, 1000.0), (60.0, 200.0)]
    points = [
        attrs.evolve(point, metrics=FrozenMap({**point.metrics, STEADY: unknown}))
        for point in _run(knots)
    ]
    assert [points[0].mean(name) for name in (STEADY, WHOLE, "absent")] == [None, 1000.0, None]
    found = _one(points, points, at=[40])
    assert (found.points, found.at[0].a) == ((2, 2), pytest.approx(600))


def test_dominated_and_bad_points_do_not_count() -> None:
    """A point below the frontier, and an invalid one above it, change nothing."""
    a = _run([(20, 1000), (30, 100), (60, 200)])
    b = [*_run([(20, 1000), (60, 200)]), *_run([(40, 9e9)], measurement=Measurement.INVALID)]
    found = _one(a, b)
    assert found.points == (2, 2) and found.area == pytest.approx(0)
    assert len(found.at) == 5


def test_other_hardware_has_no_cost_ratio() -> None:
    """The price per accelerator is another; a family of its own unless asked across."""
    a, b = _run([(20, 1000), (60, 200)]), _run([(20, 1000), (60, 200)], hardware="h200")
    assert frontiers(a, b) == ()
    found = _one(a, b, across=["hardware"], at=[40])
    assert found.at[0].speed_up == pytest.approx(1) and found.at[0].cost_ratio is None
    assert "h100 -> h200" in found.family


def test_intervals_add_as_independent() -> None:
    """At a knot, 3 % and 3 % give 4.2 %; without an interval on a side there is none."""
    knots = [(20.0, 1000.0), (60.0, 200.0)]
    found = _one(_run(knots, half=0.03), _run(knots, half=0.03), at=[20])
    assert found.at[0].speed_up_half_width == pytest.approx(0.03 * 2**0.5, rel=1e-3)
    none = _one(_run(knots, half=0.03), _run(knots), at=[20])
    assert none.at[0].speed_up is not None and none.at[0].speed_up_half_width is None
