"""State shared by all parts of one run."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from tokenbench.api import BenchError, EvalOutcome, MachineError, PointResult
from tokenbench.plan.plan import Plan
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import append_result

from .kept import Kept
from .observers import Observers
from .progress import ProgressDisplay


@attrs.define(kw_only=True)
class RunContext:
    """A run in progress. `results`, `failures` (of points that could not be measured), `evals`,
    `notes` and `facts` grow; `number` counts the points started. `kept`: see :class:`.kept.Kept`.
    """

    plan: Plan
    plugins: PluginInstances
    directory: RunDirectory
    display: ProgressDisplay
    interrupted: Callable[[], bool]
    facts: dict[str, str]
    observers: Observers
    kept: Kept = attrs.field(factory=Kept)
    results: list[PointResult] = attrs.field(factory=list)
    failures: list[BenchError] = attrs.field(factory=list)
    evals: list[EvalOutcome] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    number: int = 0

    def note(self, text: str) -> None:
        """Add a note to the reports, once."""
        if text not in self.notes:
            self.notes.append(text)

    def keep(self, result: PointResult) -> None:
        """Write a finished point to disk, then show it.

        Raises:
            MachineError: it cannot be written, or the folder of the run was deleted.
        """
        try:
            self.directory.check()
        except MachineError:
            self.results.append(result)  # All results are written once more at the end.
            raise
        append_result(self.directory.results, result)
        self.results.append(result)
        self.display.point(result)
