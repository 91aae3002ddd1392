"""The outcome of a search for the largest load."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PointResult
from tokenbench.plan.canonical import plain
from tokenbench.plan.search import Bisection
from tokenbench.plan.series import PlannedSeries

from .context import RunContext


def record_search(
    run: RunContext, deployment: str, series: PlannedSeries, history: Sequence[PointResult]
) -> None:
    """Record the largest load found and the path to it: a note, and ``find-*.json``."""
    search = series.load.levels
    if not isinstance(search, Bisection):
        return
    found = search.found(history)
    trials = [search.trial(result) for result in history]
    what = "requests in flight" if search.like.concurrency is not None else "requests per second"
    goals = ", ".join(map(str, search.objectives))
    path = "; ".join(f"{t.value:g} {'passed' if t.passed else t.why}" for t in trials)
    largest = "no load tried" if found is None else f"{found:g} {what}"
    run.note(f"{series.name}: largest load that meets {goals}: {largest} (tried: {path})")
    run.display.note("found", load=found, objectives=goals)
    run.directory.write_json(
        f"find-{deployment}-{series.name}.json",
        {
            "deployment": deployment,
            "workload": series.name,
            "what": what,
            "found": found,
            "objectives": [str(goal) for goal in search.objectives],
            "trials": plain(trials),
        },
    )
