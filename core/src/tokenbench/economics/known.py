"""Whether a point has a metric."""

from __future__ import annotations

from tokenbench.api import PointResult


def is_known(point: PointResult, metric: str) -> bool:
    """Whether the metric was measured: results have all names, with None where it was not."""
    estimate = point.metrics.get(metric)
    return estimate is not None and estimate.mean is not None
