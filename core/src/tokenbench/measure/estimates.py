"""Estimates of metrics over repeats: mean and 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from tokenbench.api import Estimate, FrozenMap

from .batch_means import relative_half_widths
from .evidence import Evidence
from .student import t_quantile_975
from .window_ends import relative_deviations

MIN_REPEATS = 3
"""A t-interval over repeats needs this many measured values."""


def estimates(repeats: Sequence[Evidence]) -> FrozenMap[Estimate]:
    """An estimate of each metric that any repeat has.

    The interval is over repeats; with fewer than 3 repeats, over batch means. For a throughput in
    the steady state it includes the error from the ends of the window (`window_ends`).
    """
    metrics = [evidence.metrics for evidence in repeats]
    names = dict.fromkeys(name for repeat in metrics for name in repeat)
    found = {name: estimate([repeat.get(name) for repeat in metrics]) for name in names}
    if len(repeats) < MIN_REPEATS:
        for name, width in relative_half_widths(repeats).items():
            mean = found[name].mean if name in found else None
            if mean is not None:
                found[name] = attrs.evolve(
                    found[name], half_width=width * abs(mean), method="batch means"
                )
    for name, width in relative_deviations(repeats).items():
        if name in found and found[name].half_width is not None:
            found[name] = _widened(found[name], width)
    return FrozenMap(found)


def class_estimates(repeats: Sequence[Evidence]) -> FrozenMap[FrozenMap[Estimate]]:
    """The same for each class of traffic, with intervals over repeats only."""
    labels = dict.fromkeys(label for evidence in repeats for label in evidence.classes)
    found = {}
    for label in labels:
        metrics = [evidence.classes.get(label, {}) for evidence in repeats]
        names = dict.fromkeys(name for repeat in metrics for name in repeat)
        found[label] = FrozenMap(
            {name: estimate([repeat.get(name) for repeat in metrics]) for name in names}
        )
    return FrozenMap(found)


def _widened(of: Estimate, relative: float) -> Estimate:
    """Add another relative half-width. The errors are independent, so their squares are added."""
    assert of.mean is not None and of.half_width is not None
    return attrs.evolve(of, half_width=math.hypot(of.half_width, relative * of.mean))


def estimate(values: Sequence[float | None]) -> Estimate:
    """Mean and t-interval of the values that are not None."""
    measured = [value for value in values if value is not None]
    if not measured:
        return Estimate(mean=None, half_width=None, values=tuple(values))
    mean = math.fsum(measured) / len(measured)
    if len(measured) < MIN_REPEATS:
        return Estimate(mean=mean, half_width=None, values=tuple(values))
    variance = math.fsum((v - mean) ** 2 for v in measured) / (len(measured) - 1)
    half_width = t_quantile_975(len(measured) - 1) * math.sqrt(variance / len(measured))
    return Estimate(mean=mean, half_width=half_width, values=tuple(values), method="repeats")
