"""Comparison of frontiers: throughput and cost of two runs at the same interactivity.

A frontier goes through all points of one model on one engine and hardware, whatever their layout
and load level, so points need not be matched. The curve is that of
:mod:`tokenbench.economics.curve`; nothing is extrapolated, so two frontiers are compared where both
have been measured.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np

from tokenbench.api import PointResult
from tokenbench.economics.column import from_estimates
from tokenbench.economics.curve import Curve, frontier_curve, throughput_metric

from .match import ALWAYS_ACROSS, FIELDS, usable

INTERACTIVITY = "interactivity_tok_s.p50"
_FREE = ("accelerators", "layout", "roles", "level")
_GRID = 2001
_DEFAULT_POINTS = 5


@attrs.frozen(kw_only=True)
class AtInteractivity:
    """Both frontiers at one interactivity (tok/s/user). Throughputs are total tokens/s per
    accelerator. `speed_up`: B / A, with the half-width of its 95 % interval (None if a knot has no
    interval). `cost_ratio`: cost per token of B / that of A at one price per accelerator-hour; None
    if the hardware differs. A value outside of a frontier's range is None.
    """

    interactivity: float
    a: float | None
    b: float | None
    speed_up: float | None = None
    speed_up_half_width: float | None = None
    cost_ratio: float | None = None


@attrs.frozen(kw_only=True)
class FrontierPair:
    """The frontiers of one family in both runs.

    `low`, `high`: interactivity that both have measured; None if there is none. `area`: the area
    between the curves there, B minus A, as a share of the area below A. `points`: on the frontier
    of A and of B.
    """

    family: str
    throughput: str
    points: tuple[int, int]
    low: float | None
    high: float | None
    area: float | None
    at: tuple[AtInteractivity, ...]


def frontiers(
    a: Iterable[PointResult],
    b: Iterable[PointResult],
    *,
    across: Sequence[str] = (),
    at: Sequence[float] = (),
) -> tuple[FrontierPair, ...]:
    """Compare the frontiers of all families that both runs have.

    Args:
        across: fields that a family may differ in between A and B.
        at: interactivities in tok/s/user; if empty, 5 in the common range.
    """
    fields = [f for f in FIELDS if f not in {*_FREE, *ALWAYS_ACROSS, *across}]
    mine, theirs = _families(a, fields), _families(b, fields)
    return tuple(
        _compared(mine[key], theirs[key], at, "hardware" not in across)
        for key in mine
        if key in theirs
    )


def _families(
    points: Iterable[PointResult], fields: Sequence[str]
) -> dict[tuple[object, ...], list[PointResult]]:
    groups: dict[tuple[object, ...], list[PointResult]] = collections.defaultdict(list)
    for point in usable(points)[0]:
        groups[tuple(getattr(point, name) for name in fields)].append(point)
    return groups


def _compared(
    a: Sequence[PointResult], b: Sequence[PointResult], at: Sequence[float], same_chip: bool
) -> FrontierPair:
    metric = throughput_metric((*a, *b))
    first, second = _curve(a, metric), _curve(b, metric)
    low, high = _common(first, second)
    targets = list(at)
    if not targets and low is not None and high is not None:
        targets = list(dict.fromkeys(np.geomspace(low, high, _DEFAULT_POINTS).tolist()))
    return FrontierPair(
        family=_label(a[0], b[0]),
        throughput=metric,
        points=(len(first.x), len(second.x)),
        low=low,
        high=high,
        area=_area(first, second, low, high),
        at=_at(first, second, targets, same_chip),
    )


def _curve(points: Sequence[PointResult], metric: str) -> Curve:
    x = from_estimates([point.metrics.get(INTERACTIVITY) for point in points], "tok/s/user")
    y = from_estimates([point.metrics.get(metric) for point in points], "tok/s/accelerator")
    return frontier_curve(x, y)


def _common(a: Curve, b: Curve) -> tuple[float | None, float | None]:
    if not len(a.x) or not len(b.x):
        return None, None
    low = max(float(curve.x.values[0]) for curve in (a, b))
    high = min(float(curve.x.values[-1]) for curve in (a, b))
    return (low, high) if low <= high else (None, None)


def _area(a: Curve, b: Curve, low: float | None, high: float | None) -> float | None:
    """By the trapezoid rule on a grid that includes all knots."""
    if low is None or high is None or low == high:
        return None
    knots = np.concatenate([a.x.values, b.x.values])
    inner = knots[(knots > low) & (knots < high)]
    grid = np.unique(np.concatenate([np.linspace(low, high, _GRID), inner]))
    below, above = (np.trapezoid(curve.at(grid).values, grid) for curve in (a, b))
    return float(above / below - 1)


def _at(
    a: Curve, b: Curve, targets: Sequence[float], same_chip: bool
) -> tuple[AtInteractivity, ...]:
    first, second = a.at(targets), b.at(targets)
    found = []
    for number, target in enumerate(targets):
        values = [_known(column.values[number]) for column in (first, second)]
        widths = [_known(column.half_widths[number]) for column in (first, second)]
        found.append(_ratio(target, values, widths, same_chip))
    return tuple(found)


def _ratio(
    target: float,
    values: Sequence[float | None],
    widths: Sequence[float | None],
    same_chip: bool,
) -> AtInteractivity:
    a, b = values
    plain = AtInteractivity(interactivity=target, a=a, b=b)
    if not a or not b:
        return plain
    half = None
    if widths[0] is not None and widths[1] is not None:
        half = b / a * math.hypot(widths[0] / a, widths[1] / b)
    return attrs.evolve(
        plain,
        speed_up=b / a,
        speed_up_half_width=half,
        cost_ratio=a / b if same_chip else None,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _label(a: PointResult, b: PointResult) -> str:
    parts = []
    for name in ("model", "precision", "engine", "hardware", "speculation"):
        both = dict.fromkeys(
            str(value) for value in (getattr(a, name), getattr(b, name)) if value is not None
        )
        if both and both != {"none": None}:
            parts.append(" -> ".join(both))
    options = ", ".join(f"{k} {v}" for k, v in a.workload_options.items() if v is not None)
    return f"{' '.join(parts)}, {a.workload}{f': {options}' if options else ''}"
