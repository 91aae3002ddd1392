"""Statistics of values: mean and percentiles."""

from __future__ import annotations

import math

import numpy as np

from .arrays import Floats
from .definitions import PERCENTILES, STATISTICS

Metrics = dict[str, float | None]
"""Values by metric name; None if not measured."""


def statistics_of(name: str, values: Floats) -> Metrics:
    """Mean and percentiles; None if there are no values."""
    if not len(values):
        return {f"{name}.{statistic}": None for statistic in STATISTICS}
    points = np.percentile(values, list(PERCENTILES.values()))
    metrics: Metrics = {f"{name}.mean": float(values.mean())}
    metrics.update({f"{name}.{s}": float(v) for s, v in zip(PERCENTILES, points, strict=True)})
    return metrics


def percentile(values: Floats, failed: int, rank: float) -> float | None:
    """A percentile of `values` and `failed` infinite values, with linear interpolation.

    None if there are no values, or if the percentile is infinite.
    """
    if not len(values):
        return None
    position = rank / 100.0 * (len(values) + failed - 1)
    if math.ceil(position) >= len(values):
        return None
    ordered = np.sort(values)
    low = math.floor(position)
    share = position - low
    return float(ordered[low] + share * (ordered[math.ceil(position)] - ordered[low]))
