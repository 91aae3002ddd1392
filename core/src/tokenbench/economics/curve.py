"""Values at a chosen interactivity: the curve through the frontier of a series.

Only throughput is interpolated. Cost and energy at an interactivity are derived from the
interpolated throughput: they are its reciprocals, and a cubic through reciprocals is inaccurate
where points are far apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import numpy as np

from tokenbench.api import PointResult

from .column import Bools, Column, Floats, Ints, Numbers, floats, measured
from .definitions import SPEED, WINDOWS
from .frontier import on_frontier
from .steffen import cubic, steffen

_STEP = 1e-6
"""Step of numeric derivatives: this share of the value, or of the distance to the next knot."""


@attrs.frozen(kw_only=True, eq=False)
class Curve:
    """A monotone cubic (:func:`.steffen.steffen`) through knots with increasing `x`.

    `points` has the index of the point that each knot is.
    """

    x: Column
    y: Column
    points: Ints

    def at(self, x: Numbers) -> Column:
        """Values at `x`; unknown outside of the knots, with the measured range as hint.

        The interval is of first order, with the slopes of the result by the coordinates of each
        knot. Within a knot both contributions add up, because a slow repeat lowers interactivity
        and throughput together; between knots, which are independent, their squares add up::

            h^2 = sum over knots k of (|dy/dx_k| * h_x_k + |dy/dy_k| * h_y_k)^2

        Which points are knots is taken as certain.
        """
        targets = floats(x)
        values = steffen(self.x.values, self.y.values, targets)
        widths = self._half_widths(len(targets), lambda xs, ys: cubic(xs, ys, targets))
        return self._column(self.y.unit, values, widths, (targets,))

    def faster_tier_price(self, slow: Numbers, fast: Numbers) -> Column:
        """Cost per token at interactivity `fast` / cost at `slow`.

        At one rate this is throughput(slow) / throughput(fast): no rate is needed. The interval is
        computed for the ratio, because both may depend on the same knots.
        """
        at_slow, at_fast = np.broadcast_arrays(floats(slow), floats(fast))
        xs, ys = self.x.values, self.y.values

        def ratio(x: Floats, y: Floats) -> Floats:
            quotient: Floats = cubic(x, y, at_slow) / cubic(x, y, at_fast)
            return quotient

        with np.errstate(divide="ignore", invalid="ignore"):
            values = steffen(xs, ys, at_slow) / steffen(xs, ys, at_fast)
            widths = self._half_widths(len(at_slow), ratio)
        return self._column("ratio", values, widths, (at_slow, at_fast))

    def carrying(self, values: Numbers, unit: str) -> Curve:
        """The curve of another metric of the same points, such as output throughput, through the
        same knots. Knots without it are left out.
        """
        other = measured(values, unit).take(self.points)
        known = np.flatnonzero(~np.isnan(other.values))
        return Curve(x=self.x.take(known), y=other.take(known), points=self.points[known])

    def _half_widths(self, size: int, function: Callable[[Floats, Floats], Floats]) -> Floats:
        xs, ys = self.x.values, self.y.values
        if len(xs) == 0:
            return np.full(size, np.nan)
        if len(xs) == 1:  # A single knot: only its own x has a value.
            return np.full(size, self.y.half_widths[0])
        nearest = np.minimum(np.diff(xs, prepend=-np.inf), np.diff(xs, append=np.inf))
        steps = (_STEP * nearest, _STEP * np.maximum(np.abs(ys), np.abs(ys).max() * _STEP))
        variance = np.zeros(size)
        for knot in range(len(xs)):
            shift = np.arange(len(xs)) == knot
            in_x, in_y = steps[0] * shift, steps[1] * shift
            by_x = (function(xs + in_x, ys) - function(xs - in_x, ys)) / (2 * steps[0][knot])
            by_y = (function(xs, ys + in_y) - function(xs, ys - in_y)) / (2 * steps[1][knot])
            variance = (
                variance
                + (_part(by_x, self.x.half_widths[knot]) + _part(by_y, self.y.half_widths[knot]))
                ** 2
            )
        widths: Floats = np.sqrt(variance)
        return widths

    def _column(
        self, unit: str, values: Floats, widths: Floats, targets: tuple[Floats, ...]
    ) -> Column:
        outside = ~np.logical_and.reduce([self._inside(target) for target in targets])
        hint = "no point has both metrics"
        if len(self.x):
            low, high = self.x.values[[0, -1]].tolist()
            hint = f"outside of what was measured: {low:.4g} to {high:.4g} {self.x.unit}"
        unknown = ~np.isfinite(values)
        return Column(
            unit=unit,
            values=np.where(unknown, np.nan, values),
            half_widths=np.where(unknown | ~np.isfinite(widths), np.nan, widths),
            hints=tuple(hint if is_outside else None for is_outside in outside.tolist()),
            basis=self.y.basis,
            rates=tuple(dict.fromkeys((*self.x.rates, *self.y.rates))),
        )

    def _inside(self, targets: Floats) -> Bools:
        x = self.x.values
        if len(x) == 0:
            return np.zeros(len(targets), dtype=np.bool_)
        inside: Bools = (targets >= x[0]) & (targets <= x[-1])
        return inside


def _part(slope: Floats, half_width: float) -> Floats:
    """A contribution to a half-width. An input without influence needs no interval."""
    part: Floats = np.where(slope == 0, 0.0, np.abs(slope) * half_width)
    return part


def throughput_metric(points: Iterable[PointResult]) -> str:
    """The throughput on the curve of these points: of the steady state if all have one, else of the
    whole repeat.
    """
    steady, whole = (f"{SPEED}.{window}" for window in WINDOWS)
    return steady if all(point.mean(steady) is not None for point in points) else whole


def frontier_curve(interactivity: Numbers, throughput: Numbers) -> Curve:
    """The curve through the frontier of the points of one series; higher is better on both axes.

    Of points with the same interactivity the first of those with the best throughput is the knot.

    >>> curve = frontier_curve([20.0, 40.0, 30.0], [900.0, 300.0, 100.0])
    >>> curve.points.tolist(), curve.at([30.0, 50.0]).listed()
    ([0, 1], (600.0, None))
    >>> curve.faster_tier_price(20.0, 40.0).listed()
    (3.0,)
    """
    x, y = measured(interactivity, "tok/s/user"), measured(throughput, "tok/s/accelerator")
    kept = np.flatnonzero(on_frontier(x, y))
    # np.unique sorts, and gives the first of equal ones: a frontier has one y at each x.
    _, first = np.unique(x.values[kept], return_index=True)
    points = kept[first]
    return Curve(x=x.take(points), y=y.take(points), points=points)
