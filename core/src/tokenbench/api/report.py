"""Reporters: render results as text, tables, pages or files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import attrs

from .architecture import Architecture
from .economics import Economics
from .frozen import FrozenMap
from .result import EvalOutcome, MetricDefinition, PointResult


@attrs.frozen(kw_only=True)
class RunView:
    """One run, as a reporter sees it. Times are UTC, ISO 8601; `finished` is None for an unfinished
    run. `state`: ``running``, ``complete``, ``failed`` or ``interrupted``. `path`: the run
    directory. `provenance` is flat: dotted key to text. `notes`: what was not measured, and why.
    `architectures`: the shape of the models that the run served, by name.
    """

    id: str
    path: str
    name: str
    started: str
    finished: str | None
    state: str
    results: tuple[PointResult, ...]
    evals: tuple[EvalOutcome, ...]
    provenance: FrozenMap[str]
    error: str | None = None
    notes: tuple[str, ...] = ()
    architectures: FrozenMap[Architecture] = FrozenMap()


@attrs.frozen(kw_only=True)
class View:
    """One or more runs, the definitions of their metrics, and the terminal's properties.

    `definitions` has every metric that can occur. `width`: columns of the terminal. `color`:
    colours may be used. `economics`: costs and provisioned power, for reporters whose spec asks for
    them; else None. Then the metrics of the results also have the shares of the speed of light, and
    the costs at the first set of rates, with an interval and without values of repeats.
    """

    runs: tuple[RunView, ...]
    definitions: tuple[MetricDefinition, ...]
    width: int = 100
    color: bool = False
    economics: Economics | None = None


@attrs.frozen(kw_only=True)
class Artifact:
    """A rendered result. Core writes it to `name` in the run's `reports` folder, or prints it if it
    has no name.

    Folders in `name` are dropped. If the name is taken, also by another reporter, a number is
    added. For several runs the folder is ``reports/IDS`` in the current one.
    """

    content: bytes
    media_type: str = "text/plain; charset=utf-8"
    name: str | None = None


class Reporter(ABC):
    """Renders runs. The same view always gives the same bytes."""

    @abstractmethod
    def render(self, view: View) -> Iterable[Artifact]:
        """The artifacts. Must accept failed and empty runs."""
