"""The chart of the frontier: places, letters, and where there is none."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest
from tokenbench_reporter_console.chart import Series
from tokenbench_reporter_console.plugin import ConsoleOptions, bench_register_reporters

from tokenbench.api import Estimate, FrozenMap, Measurement, PluginContext, PointResult, PointState
from tokenbench_testing.samples import views


def _point(x: float | None, y: float | None, window: str = "steady", **changes: Any) -> PointResult:
    values = {
        "interactivity_tok_s.p50": x,
        f"total_tok_s_per_accelerator.{window}": y,
    }
    metrics = FrozenMap(
        {n: Estimate(mean=v, half_width=None, values=(v,)) for n, v in values.items()}
    )
    return views.point(**{"metrics": metrics, **changes})


CURVE = ((100.0, 500.0), (50.0, 1000.0), (20.0, 2000.0), (40.0, 600.0))


def _curve(**changes: Any) -> list[PointResult]:
    return [_point(x, y, **changes) for x, y in CURVE]


def _text(points: list[PointResult], *, color: bool = False, width: int = 100, **opts: Any) -> str:
    (spec,) = bench_register_reporters()
    view = views.view(views.run(*points, evals=(), notes=()), width=width, color=color)
    (artifact,) = spec.factory(ConsoleOptions(**opts), PluginContext()).render(view)
    return artifact.content.decode()


def _rows(text: str) -> list[str]:
    """The grid, without the axis."""
    return [line.partition("│")[2] for line in text.splitlines() if "│" in line]


def test_points_are_where_they_belong() -> None:
    """The fastest user at the right, the highest throughput at the top, the others between; a point
    below the frontier has a small letter.
    """
    rows = _rows(_text(_curve()))
    assert len(rows) == 15
    width = max(map(len, rows))
    found = {
        (mark, column / (width - 1) * 100, (14 - row) / 14 * 2000)
        for row, line in enumerate(rows)
        for column, mark in enumerate(line)
        if mark.isalpha()
    }
    assert sorted(mark for mark, _, _ in found) == ["A", "A", "A", "a"]
    for mark, x, y in found:
        near = min(CURVE, key=lambda spot: abs(spot[0] - x))
        assert near[0] == pytest.approx(x, abs=0.6) and near[1] == pytest.approx(y, abs=72)
        assert (mark == "a") == (near == (40.0, 600.0))
    assert "·" in "".join(rows)


def test_axes_have_units_and_a_legend() -> None:
    """Largest values at the ends, the metric's names, and each letter's series."""
    lines = _text(_curve()).splitlines()
    assert any(line.startswith("2,000 │") for line in lines)
    assert any(line.startswith("1,000 │") for line in lines)
    assert "total per accelerator, tok/s" in "\n".join(lines)
    assert any(line.endswith("interactivity p50, tok/s/user") for line in lines)
    assert "A model-a bf16 engine-a chip-a" in lines


def test_two_series_and_a_common_place() -> None:
    """Each has a letter; a place of both is marked."""
    other = [_point(x, y, engine="engine-b", deployment="b") for x, y in CURVE[:2]]
    text = _text([*_curve(), *other, _point(80.0, 1900.0, engine="engine-b", deployment="b")])
    assert "A model-a bf16 engine-a chip-a" in text and "B model-a bf16 engine-b chip-a" in text
    assert "*: several series" in text
    assert [sum(row.count(mark) for row in _rows(text)) for mark in "AaBb*"] == [1, 1, 1, 0, 2]


def test_no_line_ends_with_a_space_and_none_is_too_wide() -> None:
    """At several widths."""
    for width in (70, 83, 120, 200):
        lines = _text(_curve(), width=width).splitlines()
        chart = lines[next(i for i, line in enumerate(lines) if "per accelerator, tok/s" in line) :]
        assert all(len(line) <= width for line in chart)
        assert all(line == line.rstrip() for line in lines)


def test_colours_only_if_allowed() -> None:
    """Without them, the letters tell the series."""
    assert "\x1b" not in _text(_curve())
    colored = _text(_curve(), color=True)
    assert "\x1b[36mA" in colored
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert _rows(plain) == _rows(_text(_curve()))


@pytest.mark.parametrize(
    ("points", "options"),
    [
        (_curve(), {"chart": False}),
        (_curve(), {"width": 69}),
        (_curve()[:2], {}),
        ([_point(x, None) for x, _ in CURVE], {}),
        (_curve(measurement=Measurement.INVALID), {}),
        (_curve(state=PointState.STALLED), {}),
        ([_point(x, y, model=f"m{x}") for x, y in CURVE], {}),
    ],
)
def test_where_there_is_no_chart(points: list[PointResult], options: dict[str, Any]) -> None:
    """Switched off, too narrow, too few points, not measured, hidden, or of different series."""
    assert "│" not in _text(points, **options)


def test_windows_are_not_mixed() -> None:
    """The axis names the whole phase where no point has a steady state."""
    text = _text(_curve(window="whole"))
    assert "total per accelerator, whole, tok/s" in text
    assert "│" not in _text([*_curve(window="whole")[:3], *_curve()[:1]])


def test_many_series() -> None:
    """The eight with most points are drawn, the text says how many are not."""
    points = [p for n in range(10) for p in _curve(engine=f"e{n}", deployment=f"d{n}")]
    text = _text(points)
    assert "H model-a bf16 e7 chip-a" in text and "I model-a" not in text
    assert "2 more series" in text


def test_workloads_have_charts_of_their_own() -> None:
    """Throughput of different lengths is not comparable."""
    other = _curve(workload_options=FrozenMap(input_tokens=8192))
    text = _text([*_curve(), *other])
    assert text.count("tok/s/user\nA model-a") == 2


def test_frontier_against_brute_force() -> None:
    """A point is on it if no other point is at least as good in both and better in one."""
    rng = random.Random(7)
    for _ in range(200):
        spots = tuple((rng.randint(1, 9) * 1.0, rng.randint(1, 9) * 1.0) for _ in range(12))
        expected = {
            a for a in spots if not any(b != a and b[0] >= a[0] and b[1] >= a[1] for b in spots)
        }
        line = Series("s", spots).frontier
        assert set(line) == expected and len(line) == len(expected)
        assert all(a[0] < b[0] and a[1] > b[1] for a, b in itertools.pairwise(line))
