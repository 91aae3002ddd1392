"""Whether optimisations compose: the gain of several together against the product of the single
gains.

A family is measured on one chip, with one model and workload. Its points differ in precision,
disaggregation, wide expert parallelism and speculation, besides layout and load level. The gain of
a configuration is the throughput per accelerator on its frontier / that of the family's base, at
the same interactivity. With T the throughput of all changes together, S_i that of change i alone
and B that of the base::

    gain = T / B        product = S_1 / B * S_2 / B * ...        ratio = gain / product

A ratio below 1 means that together they gain less than the single gains predict. Intervals are of
first order, from those of the throughputs, which are independent.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np

from tokenbench.api import (
    Accuracy,
    CombinedGain,
    Composition,
    Estimate,
    GainAt,
    Measurement,
    PointResult,
    PointState,
)

from .column import from_estimates
from .curve import Curve, frontier_curve, throughput_metric
from .layouts import wide_ep
from .speed_of_light import least_bytes_per_weight

AXES = ("precision", "disaggregation", "wide EP", "speculation")
_INTERACTIVITY = "interactivity_tok_s.p50"
_TARGETS = 3
Values = tuple[str, ...]
"""A value for each of `AXES`."""
_Number = tuple[float, float]
"""A throughput and its half-width; NaN for no interval."""


@attrs.frozen(kw_only=True, eq=False)
class _Measured:
    """One configuration of a family."""

    curve: Curve
    engines: tuple[str, ...]


def compositions(points: Iterable[PointResult]) -> tuple[Composition, ...]:
    """Families with at least one gain: of one engine each, and where several engines served a model
    on a chip, one across them (a disaggregated deployment often has an engine of its own name).
    Points of unknown configuration, failed and invalid ones take no part.
    """
    one_engine: dict[tuple[object, ...], list[PointResult]] = collections.defaultdict(list)
    any_engine: dict[tuple[object, ...], list[PointResult]] = collections.defaultdict(list)
    for point in filter(_usable, points):
        key = (point.model, point.hardware, point.workload, point.workload_options)
        one_engine[*key, point.engine].append(point)
        any_engine[key].append(point)
    found = [_family(one, one[0].engine) for one in one_engine.values()]
    found += [
        _family(one, "any engine")
        for one in any_engine.values()
        if len({p.engine for p in one}) > 1
    ]
    return tuple(one for one in found if one is not None)


def _usable(point: PointResult) -> bool:
    return (
        point.state is PointState.DONE
        and point.measurement is not Measurement.INVALID
        and point.accuracy is not Accuracy.FAIL
        and _values(point) is not None
    )


def _values(point: PointResult) -> Values | None:
    wide = wide_ep(point)
    if point.precision is None or wide is None or point.speculation is None:
        return None
    apart = "yes" if point.roles else "no"
    return (point.precision, apart, "yes" if wide else "no", point.speculation)


def _family(points: Sequence[PointResult], engine: str) -> Composition | None:
    groups: dict[Values, list[PointResult]] = collections.defaultdict(list)
    for point in points:
        if (values := _values(point)) is not None:
            groups[values].append(point)
    metric = throughput_metric(points)
    measured = {values: _measured(group, metric) for values, group in groups.items()}
    # The base has the first value of each axis: the widest precision, otherwise the simplest value.
    base = tuple(min({v[axis] for v in groups}, key=_simplest) for axis in range(len(AXES)))
    if base not in measured:
        return None
    others = sorted((v for v in measured if v != base), key=lambda v: (_differing(base, v), v))
    if not others:
        return None
    first = points[0]
    options = ", ".join(f"{k} {v}" for k, v in first.workload_options.items() if v is not None)
    return Composition(
        family=f"{first.model} on {first.hardware}, {engine}, {first.workload}"
        + (f": {options}" if options else ""),
        base=", ".join(f"{axis} {value}" for axis, value in zip(AXES, base, strict=True)),
        base_engines=measured[base].engines,
        throughput=metric,
        gains=tuple(_gain(measured, base, values) for values in others),
    )


def _simplest(value: str) -> tuple[float, bool, str]:
    """Order on an axis: wide weights before narrow ones, ``no`` and ``none`` before others."""
    width = least_bytes_per_weight(value)
    return (0.0 if math.isnan(width) else -width, value not in ("no", "none"), value)


def _measured(points: Sequence[PointResult], metric: str) -> _Measured:
    x = from_estimates([point.metrics.get(_INTERACTIVITY) for point in points], "tok/s/user")
    speeds = [_positive(point.metrics.get(metric)) for point in points]
    y = from_estimates(speeds, "tok/s/accelerator")
    curve = frontier_curve(x, y)
    engines = sorted({points[index].engine for index in curve.points.tolist()})
    return _Measured(curve=curve, engines=tuple(engines))


def _positive(estimate: Estimate | None) -> Estimate | None:
    """A throughput of 0 has no ratio."""
    return estimate if estimate and estimate.mean and estimate.mean > 0 else None


def _differing(base: Values, values: Values) -> tuple[int, ...]:
    """Axes in which a configuration differs; their number first, so that they sort by it."""
    axes = [axis for axis in range(len(AXES)) if base[axis] != values[axis]]
    return (len(axes), *axes)


def _gain(measured: dict[Values, _Measured], base: Values, values: Values) -> CombinedGain:
    _, *axes = _differing(base, values)
    changes = tuple(f"{AXES[axis]} {base[axis]} -> {values[axis]}" for axis in axes)
    alone = [tuple(values[i] if i == axis else base[i] for i in range(len(AXES))) for axis in axes]
    together, start = measured[values], measured[base]
    made = CombinedGain(changes=changes, engines=together.engines)
    singles = [measured[one].curve for one in alone if one in measured] if len(axes) > 1 else []
    missing = [change for change, one in zip(changes, alone, strict=True) if one not in measured]
    reason = f"not measured alone: {', '.join(missing)}" if missing else None
    targets = _targets([start.curve, together.curve, *singles])
    if missing or not targets:
        if singles and not missing:
            reason = "no interactivity was measured with each change alone and with all of them"
        singles, targets = [], _targets([start.curve, together.curve])
    if not targets:
        return attrs.evolve(made, reason="no interactivity was measured with and without")
    columns = [curve.at(targets) for curve in (start.curve, together.curve, *singles)]
    numbers = [list(zip(c.values.tolist(), c.half_widths.tolist(), strict=True)) for c in columns]
    at = tuple(_at(x, *(each[n] for each in numbers)) for n, x in enumerate(targets))
    return attrs.evolve(made, at=at, reason=reason)


def _targets(curves: Sequence[Curve]) -> list[float]:
    """The ends and the middle of the interactivity that all curves have measured."""
    if not all(len(curve.x) for curve in curves):
        return []
    low = max(float(curve.x.values[0]) for curve in curves)
    high = min(float(curve.x.values[-1]) for curve in curves)
    if low > high:
        return []
    return list(dict.fromkeys(np.geomspace(low, high, _TARGETS).tolist())) if low < high else [low]


def _at(x: float, b: _Number, t: _Number, *alone: _Number) -> GainAt:
    """The gains, from the throughputs of the base, of all changes together, and of each alone."""
    gain = t[0] / b[0]
    found = GainAt(interactivity=x, gain=gain, gain_half_width=_half(gain, (t, 1), (b, 1)))
    if not alone:
        return found
    count = len(alone)
    product = math.prod(value for value, _ in alone) / b[0] ** count
    parts = [(one, 1) for one in alone]
    ratio = gain / product
    return attrs.evolve(
        found,
        product=product,
        product_half_width=_half(product, *parts, (b, count)),
        ratio=ratio,
        ratio_half_width=_half(ratio, *parts, (t, 1), (b, count - 1)),
    )


def _half(result: float, *parts: tuple[_Number, int]) -> float | None:
    """Half-width of a product of powers; None if a factor has no interval."""
    squares = math.fsum((power * half / value) ** 2 for (value, half), power in parts if power)
    return None if math.isnan(squares) else result * math.sqrt(squares)
