"""Reporters: results to text, tables, pages, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import attrs

from .frozen import FrozenMap
from .result import EvalOutcome, MetricDefinition, PointResult


@attrs.frozen(kw_only=True)
class RunView:
    """One run, as a reporter sees it. Times are UTC, ISO 8601; `finished` is None for a run that
    was cut. `provenance` is flat: dotted key to text.
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


@attrs.frozen(kw_only=True)
class View:
    """One or more runs, the definitions of their metrics, and the terminal to write for."""

    runs: tuple[RunView, ...]
    definitions: tuple[MetricDefinition, ...]
    width: int = 100
    color: bool = False


@attrs.frozen(kw_only=True)
class Artifact:
    """A rendered thing. Core writes it to the run's `reports` folder under `name`, or, with no
    name, prints it.
    """

    content: bytes
    media_type: str = "text/plain; charset=utf-8"
    name: str | None = None


class Reporter(ABC):
    """Renders runs. The same view always gives the same bytes."""

    @abstractmethod
    def render(self, view: View) -> Iterable[Artifact]:
        """The artifacts. Must survive failed and empty runs."""
