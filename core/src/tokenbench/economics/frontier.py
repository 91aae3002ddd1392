"""The Pareto frontier of points in two metrics."""

from __future__ import annotations

import numpy as np

from .column import Bools, Numbers, floats


def on_frontier(x: Numbers, y: Numbers) -> Bools:
    """Which points are on the frontier; shape (points,). Higher is better on both axes.

    A point is dropped if another is at least as good on both axes and better on one (strict
    dominance): exact duplicates all stay. A point with an unknown coordinate is not on it.

    >>> on_frontier([1.0, 2.0, 2.0, 3.0], [9.0, 8.0, 7.0, 1.0]).tolist()
    [True, True, False, True]
    """
    xs, ys = floats(x), floats(y)
    known = np.flatnonzero(~(np.isnan(xs) | np.isnan(ys)))
    kept = np.zeros(len(xs), dtype=np.bool_)
    if len(known) == 0:
        return kept
    # From the best x to the worst: only the best y of each x may stay, and only if it is better
    # than that of every better x.
    levels, level = np.unique(-xs[known], return_inverse=True)
    best = np.full(len(levels), -np.inf)
    np.maximum.at(best, level, ys[known])
    beaten = np.zeros(len(levels), dtype=np.bool_)
    beaten[1:] = best[1:] <= np.maximum.accumulate(best)[:-1]
    kept[known] = (ys[known] == best[level]) & ~beaten[level]
    return kept
