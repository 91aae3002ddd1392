"""The whole run: its deployments one after the other, then the final state."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    BenchError,
    EvalOutcome,
    Interrupted,
    PluginError,
    PointResult,
    RunFinished,
    RunStarted,
)
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import Plan
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.files import guarded, is_machine_error, machine_error
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
        error: BenchError | None = None
        try:
            self._start()
            for deployment in self._run.plan.deployments:
                DeploymentRun(self._run, deployment).run()
            if self._run.interrupted():
                error = Interrupted("interrupted by the user", hint="what was measured is kept")
        except BenchError as failure:
            error = failure
        except KeyboardInterrupt:
            error = _immediate_interrupt()
        except SystemExit as exit_:
            error = PluginError(
                f"a plugin ended the program with exit code {exit_.code}",
                hint="report it to the author of the plugin",
            )
        except Exception as failure:
            error = self._machine_error(failure)
            if error is None:
                self._finish(None, f"{type(failure).__name__}: {failure}")
                raise
        failures = self._run.failures
        if error is None and failures and len(failures) == len(self._run.results):
            error = failures[0]
        try:
            state, error = self._finish(error)
        except KeyboardInterrupt:
            state, error = self._finish(error or _immediate_interrupt())
        return Outcome(
            state=state,
            results=tuple(self._run.results),
            evals=tuple(self._run.evals),
            error=error,
            failures=tuple(failures),
        )

    def _machine_error(self, error: Exception) -> BenchError | None:
        """A BenchError if a file of the run could not be written, or a resource is exhausted; None
        for other errors.
        """
        if not isinstance(error, OSError):
            return None
        path = self._run.directory.path
        file = Path(str(error.filename)) if error.filename is not None else path
        return machine_error(error, file) if is_machine_error(error, path) else None

    # -- begin and end ---------------------------------------------------------------------------

    def _start(self) -> None:
        directory, suite = self._run.directory, self._run.plan.resolved.suite
        self._write_state("running", None)
        directory.write_json("suite.json", unstructure(suite))
        directory.write_json("plan.json", self._run.plan.data())
        directory.write_json("models.json", _architectures(self._run.plan))
        directory.write_json("provenance.json", self._run.facts)
        if self._run.kept.started is not None:
            rewrite_results(directory.results, self._run.results)
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

    def _finish(
        self, error: BenchError | None, bug: str | None = None
    ) -> tuple[str, BenchError | None]:
        """Write the table and the final state, also after errors. Returns the state and the first
        error.
        """
        lost: Exception | None = None
        try:
            self._write_results()
        except BenchError as failure:
            error = error or failure
        except Exception as failure:
            lost, bug = failure, bug or f"{type(failure).__name__}: {failure}"
        state = "failed" if error is not None or bug is not None else "complete"
        state = "interrupted" if isinstance(error, Interrupted) else state
        try:
            self._write_state(state, bug or (error.message if error is not None else None))
        except BenchError as failure:
            error = error or failure
        self._run.observers.tell(
            RunFinished(
                run=self._run.directory.id,
                path=str(self._run.directory.path),
                state=state,
                exit_code=error.exit_code if error else int(bug is not None),
            )
        )
        if lost is not None:
            raise lost
        return state, error

    def _write_results(self) -> None:
        results, file = self._run.results, self._run.directory.results
        if not results:
            return
        with guarded(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():  # Its folder was deleted.
            rewrite_results(file, results)
        write_table(file.with_suffix(".parquet"), results)

    def _write_state(self, state: str, error: str | None) -> None:
        self._run.directory.write_state(
            {
                "name": self._run.plan.resolved.suite.name,
                "state": state,
                "started": self._started,
                "finished": None if state == "running" else now(),
                "error": error,
                "points": len(self._run.results),
                "notes": self._run.notes,
                "clock": {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
            },
        )


def _architectures(plan: Plan) -> dict[str, Any]:
    """The shape of each served model. Reports need it even if the model's plugin was removed."""
    return {
        one.request.model: plain(one.request.architecture)
        for one in plan.deployments
        if one.asked.model
    }


def _immediate_interrupt() -> Interrupted:
    return Interrupted("interrupted at once", hint="finished points are kept")
