"""A run directory as reporters see it; the run may be incomplete."""

from __future__ import annotations

from tokenbench.api import EvalOutcome, FrozenMap, RunView

from .layout import RunDirectory
from .results import outcome_from_json, read_results


def read_view(directory: RunDirectory) -> RunView:
    """The results, evals and facts of a run, as far as they are complete.

    Raises:
        UsageError: the results have another schema version, or are damaged.
    """
    run = directory.read_json("run.json") or {}
    provenance = directory.read_json("provenance.json") or {}
    return RunView(
        id=directory.id,
        path=str(directory.path),
        name=str(run.get("name", directory.id)),
        started=str(run.get("started", "")),
        finished=run.get("finished"),
        state=str(run.get("state", "unknown")),
        results=tuple(read_results(directory.results)),
        evals=tuple(_evals(directory)),
        provenance=FrozenMap({key: str(value) for key, value in provenance.items()}),
        error=run.get("error"),
        notes=tuple(run.get("notes") or ()),
    )


def read_outcome(directory: RunDirectory, deployment: str, name: str) -> EvalOutcome | None:
    """An eval's outcome; None if it has not finished."""
    data = directory.read_json(f"evals/{deployment}/{name}/outcome.json")
    return None if data is None else outcome_from_json(data)


def _evals(directory: RunDirectory) -> list[EvalOutcome]:
    files = sorted((directory.path / "evals").glob("*/*/outcome.json"))
    found = (read_outcome(directory, f.parent.parent.name, f.parent.name) for f in files)
    return [outcome for outcome in found if outcome is not None]
