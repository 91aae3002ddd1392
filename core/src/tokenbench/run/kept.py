"""Finished parts of an interrupted run, which the resumed run does not repeat."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Any

import attrs

from tokenbench.api import EvalOutcome, PointResult, PointState, UsageError
from tokenbench.plan.plan import Plan, PlannedDeployment, PlannedEval
from tokenbench.plan.series import PlannedSeries
from tokenbench.store.files import guarded
from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import read_results
from tokenbench.store.view import read_outcome


@attrs.frozen(kw_only=True)
class Kept:
    """Finished points by id, outcomes of evals by deployment and name, and notes, facts and start
    time of the run. All are empty for a new run.
    """

    points: dict[str, PointResult] = attrs.field(factory=dict)
    evals: dict[tuple[str, str], EvalOutcome] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = attrs.field(factory=dict)
    started: str | None = None

    def unfinished(self, series: PlannedSeries) -> bool:
        """Whether a point of a series is left. The next level depends on the earlier results."""
        if not self.points:
            return True
        history: list[PointResult] = []
        while (level := series.load.levels.next(history)) is not None:
            known = self.points.get(series.point(level).id)
            if known is None:
                return True
            history.append(known)
        return False

    def unanswered(self, deployment: PlannedDeployment, *, twin: bool) -> list[PlannedEval]:
        """The evals of a deployment that are left, on the measured server or on twins."""
        return [
            planned
            for planned in deployment.evals
            if (planned.twin is not None) is twin
            and (deployment.id, planned.name) not in self.evals
        ]


def read_kept(directory: RunDirectory, plan: Plan) -> Kept:
    """Read the finished parts of `plan` from a run directory. Points that failed, stalled or were
    interrupted are measured again.

    Raises:
        UsageError: the run had another plan.
    """
    planned = directory.read_json("plan.json")
    if planned is None or _identities(planned) != _identities(plan.data()):
        raise UsageError(
            f"{directory.path} cannot be resumed: its suite now gives another plan",
            hint="plugins, hardware or the versions of engines have changed; start a new run",
        )
    run = directory.read_json("run.json") or {}
    done = (r for r in read_results(directory.results) if r.state is PointState.DONE)
    evals = {
        (deployment.id, one.name): read_outcome(directory, deployment.id, one.name)
        for deployment in plan.deployments
        for one in deployment.evals
    }
    return Kept(
        points={result.point: result for result in done},
        evals={key: outcome for key, outcome in evals.items() if outcome is not None},
        notes=tuple(run.get("notes") or ()),
        facts=directory.read_json("provenance.json") or {},
        started=run.get("started"),
    )


def _identities(data: dict[str, Any]) -> list[Any]:
    """Deployments, the points known beforehand, evals with their options."""
    return [
        [
            deployment["id"],
            [point["id"] for point in deployment["points"]],
            [[one["name"], one["ref"]] for one in deployment["evals"]],
        ]
        for deployment in data["deployments"]
    ]


@contextlib.contextmanager
def locked(directory: RunDirectory) -> Iterator[None]:
    """Lock a run directory against other processes. The lock ends with the process.

    Raises:
        UsageError: another process has locked it.
    """
    with guarded(directory.path):
        folder = os.open(directory.path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{directory.path} is still running in another process", hint="wait for its end"
            ) from None
        yield
    finally:
        os.close(folder)
