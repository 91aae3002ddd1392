"""What a search for the largest load came to."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PointResult
from tokenbench.measure.slo import Slo
from tokenbench.plan.canonical import plain
from tokenbench.plan.search import Bisection
from tokenbench.plan.series import PlannedSeries
from tokenbench.suite.slo import METRICS, Objective

from .context import RunContext


def slo_of(objectives: Sequence[Objective]) -> Slo | None:
    """What goodput asks of each request: the objectives' limits."""
    if not objectives:
        return None
    return Slo(**{METRICS[goal.metric]: goal.limit_s for goal in objectives})


def tell_search(
    run: RunContext, deployment: str, series: PlannedSeries, history: Sequence[PointResult]
) -> None:
    """Keep the largest load that held and the path to it: a note, and ``find-WORKLOAD.json``."""
    search = series.levels
    if not isinstance(search, Bisection):
        return
    found = search.found(history)
    trials = [search.trial(result) for result in history]
    what = "requests in flight" if search.like.concurrency is not None else "requests a second"
    goals = ", ".join(map(str, search.objectives))
    path = "; ".join(f"{t.value:g} {'held' if t.holds else t.why}" for t in trials)
    text = f"{found:g} {what} is the most that" if found is not None else f"no load tried ({what})"
    run.note(f"{series.workload.name}: {text} holds {goals} (tried: {path})")
    run.display.note("found", load=found, objectives=goals)
    run.directory.write_json(
        f"find-{deployment}-{series.workload.name}.json",
        {
            "deployment": deployment,
            "workload": series.workload.name,
            "what": what,
            "found": found,
            "objectives": [str(goal) for goal in search.objectives],
            "trials": plain(trials),
        },
    )
