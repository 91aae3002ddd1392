"""What all parts of one run share."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from tokenbench.api import EvalOutcome, PointResult
from tokenbench.plan.plan import Plan
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import append_result

from .cores import Cores
from .observers import Observers
from .progress import ProgressDisplay


@attrs.define(kw_only=True)
class RunContext:
    """A run under way. `results`, `evals`, `notes` and `facts` grow as it goes; `number` is that of
    the point being measured.
    """

    plan: Plan
    plugins: PluginInstances
    directory: RunDirectory
    display: ProgressDisplay
    interrupted: Callable[[], bool]
    facts: dict[str, str]
    cores: Cores
    observers: Observers
    results: list[PointResult] = attrs.field(factory=list)
    evals: list[EvalOutcome] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    number: int = 0

    def note(self, text: str) -> None:
        """Keep a note for the reports, once."""
        if text not in self.notes:
            self.notes.append(text)

    def keep(self, result: PointResult) -> None:
        """A finished point: to disk first."""
        append_result(self.directory.results, result)
        self.results.append(result)
        self.display.point(result)
