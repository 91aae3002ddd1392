"""Adds derived numbers to results as metrics, so that every reporter shows them like measured
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from tokenbench.api import DerivedColumn, Estimate, FrozenMap, RunView


def with_metrics(runs: Iterable[RunView], columns: Sequence[DerivedColumn]) -> tuple[RunView, ...]:
    """Copies of the runs whose results also have the known entries of the columns.

    Columns have one entry per result, in the order of the runs and of their results.
    """
    found = []
    start = 0
    for run in runs:
        results = tuple(
            attrs.evolve(result, metrics=FrozenMap({**result.metrics, **_entries(columns, index)}))
            for index, result in enumerate(run.results, start)
        )
        start += len(results)
        found.append(attrs.evolve(run, results=results))
    return tuple(found)


def _entries(columns: Sequence[DerivedColumn], index: int) -> dict[str, Estimate]:
    # Exact numbers have half-width 0; an estimate of them has no interval.
    return {
        column.name: Estimate(mean=value, half_width=column.half_widths[index] or None, values=())
        for column in columns
        if (value := column.values[index]) is not None
    }
