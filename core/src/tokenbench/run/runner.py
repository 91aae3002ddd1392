"""The whole run: one deployment after the other, then the final state."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import attrs

from tokenbench.api import (
    BenchError,
    EvalOutcome,
    Interrupted,
    PointResult,
    RunFinished,
    RunStarted,
)
from tokenbench.plan.plan import Plan
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.layout import RunDirectory, now
from tokenbench.store.results import rewrite_results, write_table
from tokenbench.suite.structure import unstructure

from .context import RunContext
from .deployment import DeploymentRun
from .kept import Kept, locked
from .observers import Observers
from .progress import ProgressDisplay


@attrs.frozen(kw_only=True)
class Outcome:
    """The end of a run. `error`: what ended it early, or why no point could be measured.
    `failures`: why some points could not be measured.
    """

    state: str
    results: tuple[PointResult, ...]
    evals: tuple[EvalOutcome, ...]
    error: BenchError | None
    failures: tuple[BenchError, ...] = ()


class Runner:
    """Runs a plan into a directory."""

    def __init__(
        self,
        plan: Plan,
        plugins: PluginInstances,
        directory: RunDirectory,
        display: ProgressDisplay,
        *,
        interrupted: Callable[[], bool],
        facts: dict[str, str],
        kept: Kept | None = None,
    ) -> None:
        kept = kept or Kept()
        self._run = RunContext(
            plan=plan,
            plugins=plugins,
            directory=directory,
            display=display,
            interrupted=interrupted,
            facts={**kept.facts, **facts},
            observers=Observers(plugins.registry),
            results=list(kept.points.values()),
            evals=list(kept.evals.values()),
            notes=list(kept.notes),
            kept=kept,
        )
        self._started = kept.started or now()

    def run(self) -> Outcome:
        """Run all deployments. An error ends the run; what was measured is on disk."""
        with locked(self._run.directory):
            return self._run_all()

    def _run_all(self) -> Outcome:
        directory, suite = self._run.directory, self._run.plan.resolved.suite
        directory.write_json("suite.json", unstructure(suite))
        directory.write_json("plan.json", self._run.plan.data())
        directory.write_json("provenance.json", self._run.facts)
        self._write_state("running", None)
        error: BenchError | None = None
        try:
            if self._run.kept.started is not None:
                rewrite_results(directory.results, self._run.results)
            self._tell_start()
            for deployment in self._run.plan.deployments:
                DeploymentRun(self._run, deployment).run()
        except BenchError as failure:
            error = failure
        except BaseException as failure:
            # A second Ctrl-C, or a bug: the state on disk is final nevertheless.
            self._finish(*_unexpected(failure))
            raise
        if error is None and self._run.interrupted():
            error = Interrupted("interrupted by the user", hint="what was measured is kept")
        failures = self._run.failures
        if error is None and failures and len(failures) == len(self._run.results):
            error = failures[0]
        state = "complete" if error is None else "failed"
        state = "interrupted" if isinstance(error, Interrupted) else state
        self._finish(state, error)
        return Outcome(
            state=state,
            results=tuple(self._run.results),
            evals=tuple(self._run.evals),
            error=error,
            failures=tuple(failures),
        )

    # -- begin and end ---------------------------------------------------------------------------

    def _tell_start(self) -> None:
        directory = self._run.directory
        self._run.display.note("run", directory=str(directory.path), points=self._run.plan.points)
        for note in self._run.plan.notes:
            self._run.note(note)
        if self._run.plan.cores.shared:
            note = "engine and load generator share the only CPU core"
            self._run.note(note)
            self._run.display.note(note)
        self._run.observers.tell(
            RunStarted(run=directory.id, path=str(directory.path), points=self._run.plan.points)
        )

    def _finish(self, state: str, error: BenchError | None) -> None:
        if self._run.results:
            with _keeping_first(error):
                write_table(self._run.directory.path / "results.parquet", self._run.results)
        with _keeping_first(error):
            self._write_state(state, error)
        self._run.observers.tell(
            RunFinished(
                run=self._run.directory.id,
                path=str(self._run.directory.path),
                state=state,
                exit_code=error.exit_code if error else 0,
            )
        )

    def _write_state(self, state: str, error: BenchError | None) -> None:
        self._run.directory.write_json(
            "run.json",
            {
                "name": self._run.plan.resolved.suite.name,
                "state": state,
                "started": self._started,
                "finished": None if state == "running" else now(),
                "error": error.message if error else None,
                "notes": self._run.notes,
                "clock": {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
            },
        )


def _unexpected(failure: BaseException) -> tuple[str, BenchError]:
    """The state of a run that something else than a BenchError ended, and the error to record."""
    if isinstance(failure, KeyboardInterrupt):
        return "interrupted", Interrupted("interrupted by the user", hint="run it again")
    text = f"{type(failure).__name__}: {failure}"
    return "failed", BenchError(text, hint="run again with --debug for the traceback")


@contextlib.contextmanager
def _keeping_first(error: BenchError | None) -> Iterator[None]:
    """Do not let an error of the last writes hide the one that ended the run."""
    try:
        yield
    except BenchError:
        if error is None:
            raise
