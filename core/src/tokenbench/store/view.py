"""A run directory as reporters see it. The run may be incomplete."""

from __future__ import annotations

from typing import Any

from tokenbench.api import Architecture, EvalOutcome, FrozenMap, RunView, UsageError

from .layout import RunDirectory
from .results import architecture_from_json, outcome_from_json, read_results

_UNFINISHED = "it is in progress, or bench was killed"


def read_view(directory: RunDirectory) -> RunView:
    """The results, evals and facts of a run, as far as they are complete.

    Raises:
        UsageError: the results have another schema version, or are damaged.
    """
    run, provenance = _mapping(directory, "run.json"), _mapping(directory, "provenance.json")
    damaged = [
        f"{name} is damaged: {what}"
        for name, found, what in (
            ("run.json", run, "the state of the run is unknown"),
            ("provenance.json", provenance, "versions and machine are unknown"),
        )
        if found is None
    ]
    run, provenance = run or {}, provenance or {}
    results = read_results(directory.results)
    measured = run.get("points")
    if isinstance(measured, int) and measured > len(results):
        damaged.append(
            f"results.jsonl is damaged: it has {len(results)} of {measured} measured points"
        )
    evals, lost = _evals(directory)
    damaged += [f"{name} is damaged: the report lacks this eval" for name in lost]
    try:
        architectures = _architectures(directory)
    except UsageError as error:
        damaged.append(f"models.json is damaged: {error.message}")
        architectures = FrozenMap()
    notes = run.get("notes")
    return RunView(
        id=directory.id,
        path=str(directory.path),
        name=str(run.get("name", directory.id)),
        started=str(run.get("started", "")),
        finished=run.get("finished"),
        state=str(run.get("state", "unknown")),
        results=tuple(results),
        evals=tuple(evals),
        provenance=FrozenMap({key: str(value) for key, value in provenance.items()}),
        error=_UNFINISHED if run.get("state") == "running" else run.get("error"),
        notes=(*damaged, *(map(str, notes) if isinstance(notes, list) else ())),
        architectures=architectures,
    )


def read_outcome(directory: RunDirectory, deployment: str, name: str) -> EvalOutcome | None:
    """An eval's outcome; None if it has not finished, or its file is damaged."""
    data = _mapping(directory, f"evals/{deployment}/{name}/outcome.json")
    return None if data is None else outcome_from_json(data)


def _architectures(directory: RunDirectory) -> FrozenMap[Architecture]:
    """The shapes of the served models. Imported runs have no such file.

    Raises:
        UsageError: the file is damaged.
    """
    found = _mapping(directory, "models.json") or {}
    return FrozenMap({name: architecture_from_json(data) for name, data in found.items()})


def _mapping(directory: RunDirectory, name: str) -> dict[str, Any] | None:
    """A JSON document of the run; None if it is missing or damaged."""
    found = directory.read_json(name)
    return found if isinstance(found, dict) else None


def _evals(directory: RunDirectory) -> tuple[list[EvalOutcome], list[str]]:
    """Outcomes, and names of files that cannot be read."""
    outcomes, lost = [], []
    for file in sorted((directory.path / "evals").glob("*/*/outcome.json")):
        found = read_outcome(directory, file.parent.parent.name, file.parent.name)
        if found is None:
            lost.append(str(file.relative_to(directory.path)))
        else:
            outcomes.append(found)
    return outcomes, lost
