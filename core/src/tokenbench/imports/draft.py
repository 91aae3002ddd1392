"""An imported measurement before it has identities, and how it becomes a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    Origin,
    PointResult,
    PointState,
)
from tokenbench.measure.definitions import DEFINITIONS_VERSION, PER_ACCELERATOR
from tokenbench.measure.estimates import estimate
from tokenbench.plan.canonical import identity

from .fields import Scalar

UNKNOWN = "unknown"
_DEPLOYMENT = (
    *("engine", "engine_version", "model", "precision", "hardware", "accelerators", "layout"),
    *("roles", "speculation"),
)


@attrs.frozen(kw_only=True)
class Draft:
    """One measurement of another tool. `metrics` have tokenbench's names and units. `separate`:
    this is not a repeat of another measurement of the point. Other fields are those of
    :class:`~tokenbench.api.PointResult` and :class:`~tokenbench.api.Origin`.
    """

    model: str
    level: LoadLevel
    metrics: Mapping[str, float]
    file: str
    row: int | None = None
    engine: str = UNKNOWN
    engine_version: str | None = None
    precision: str | None = None
    hardware: str = UNKNOWN
    accelerators: int | None = None
    layout: str = UNKNOWN
    roles: FrozenMap[int] | None = None
    speculation: str | None = None
    workload: str = UNKNOWN
    workload_options: FrozenMap[Scalar] = FrozenMap()
    state: PointState = PointState.DONE
    error: str | None = None
    date: str | None = None
    url: str | None = None
    fields: FrozenMap[Scalar] = FrozenMap()
    notes: tuple[str, ...] = ()
    separate: bool = False

    @property
    def deployment(self) -> str:
        """Identity of the deployment, from what the source describes."""
        return identity({"imported": {name: getattr(self, name) for name in _DEPLOYMENT}})

    @property
    def point(self) -> str:
        """Identity of the point."""
        described: dict[str, Any] = {
            "deployment": self.deployment,
            "workload": self.workload,
            "workload_options": self.workload_options,
            "level": self.level,
        }
        if self.separate:
            described["measured"] = [self.date, self.url]
        return identity(described)


def results(drafts: Sequence[Draft], *, run: str, format: str) -> list[PointResult]:
    """One result per point, in the order of their first drafts. Drafts of one point are its
    repeats.
    """
    points: dict[str, list[Draft]] = {}
    for draft in drafts:
        points.setdefault(draft.point, []).append(draft)
    return [_result(point, repeats, run, format) for point, repeats in points.items()]


def _result(point: str, repeats: Sequence[Draft], run: str, name: str) -> PointResult:
    first = repeats[0]
    metrics = [per_accelerator(draft.metrics, draft.accelerators) for draft in repeats]
    return PointResult(
        point=point,
        run=run,
        deployment=first.deployment,
        **{field: getattr(first, field) for field in _DEPLOYMENT},
        workload=first.workload,
        workload_options=first.workload_options,
        level=first.level,
        state=next((d.state for d in repeats if d.state is not PointState.DONE), PointState.DONE),
        repeats=len(repeats),
        metrics=_estimates(metrics),
        measurement=Measurement.IMPORTED,
        checks=(),
        error=next((d.error for d in repeats if d.error), None),
        date=first.date,
        notes=tuple(dict.fromkeys(note for draft in repeats for note in draft.notes)),
        origin=Origin(
            format=name,
            files=tuple(draft.file for draft in repeats),
            row=first.row,
            url=first.url,
            fields=first.fields,
        ),
        definitions_version=DEFINITIONS_VERSION,
    )


def _estimates(repeats: Sequence[Mapping[str, float]]) -> FrozenMap[Estimate]:
    names = dict.fromkeys(name for repeat in repeats for name in repeat)
    return FrozenMap({name: estimate([r.get(name) for r in repeats]) for name in names})


def per_accelerator(metrics: Mapping[str, float], accelerators: int | None) -> dict[str, float]:
    """The metrics, with throughputs per accelerator added."""
    derived = {
        f"{name}_per_accelerator.whole": metrics[f"{name}.whole"] / accelerators
        for name in PER_ACCELERATOR
        if accelerators and f"{name}.whole" in metrics
    }
    return {**derived, **metrics}


def interactivity(metrics: Mapping[str, float]) -> dict[str, float]:
    """1 / TPOT for each statistic of TPOT."""
    return {
        f"interactivity_tok_s.{name.rpartition('.')[2]}": 1 / value
        for name, value in metrics.items()
        if name.startswith("tpot_s.") and value > 0
    }
