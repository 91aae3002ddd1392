"""What a run leaves: metrics of points, two verdicts, provenance."""

from __future__ import annotations

import enum

import attrs

from .frozen import FrozenMap
from .load import LoadLevel

RESULT_SCHEMA_VERSION = 1


class PointState(enum.StrEnum):
    """How a point ended."""

    DONE = "done"
    FAILED = "failed"
    STALLED = "stalled"
    INTERRUPTED = "interrupted"


class Measurement(enum.StrEnum):
    """May the measurement be used?"""

    CERTIFIED = "certified"
    FLAGGED = "flagged"
    INVALID = "invalid"


class Accuracy(enum.StrEnum):
    """Did the deployment answer as well as it must?"""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


class CheckOutcome(enum.StrEnum):
    """What one check of a measurement found."""

    OK = "ok"
    FLAGGED = "flagged"
    INVALID = "invalid"
    NOT_ASSESSED = "not assessed"


@attrs.frozen(kw_only=True)
class Check:
    """One check with its evidence. `value` is compared with the two limits, in `unit`."""

    name: str
    outcome: CheckOutcome
    evidence: str
    value: float | None = None
    flag_limit: float | None = None
    invalid_limit: float | None = None
    unit: str = ""


@attrs.frozen(kw_only=True)
class Estimate:
    """A metric over repeats: the mean of the repeats' values, and the half-width of its 95 %
    t-interval (None below 3 repeats). `values` has one entry a repeat, None where not measured.
    """

    mean: float | None
    half_width: float | None
    values: tuple[float | None, ...]


@attrs.frozen(kw_only=True)
class MetricDefinition:
    """A metric's one definition. `higher_is_better` is None where neither end is good."""

    name: str
    title: str
    unit: str
    definition: str
    higher_is_better: bool | None = None


@attrs.frozen(kw_only=True)
class EvalOutcome:
    """An eval's score on one deployment and what it means.

    `interval` is the 95 % Wilson interval of `value`. `twin_settings` lists what differed from the
    measured deployment where a twin answered.
    """

    eval: str
    deployment: str
    metric: str
    value: float
    n: int
    variant: str
    interval: tuple[float, float]
    accuracy: Accuracy
    threshold: float | None = None
    threshold_source: str | None = None
    twin_settings: tuple[str, ...] = ()
    seconds: float | None = None


@attrs.frozen(kw_only=True)
class PointResult:
    """Everything said about one point. `metrics` maps a metric's name to its estimate."""

    point: str
    run: str
    deployment: str
    engine: str
    engine_version: str | None
    model: str
    precision: str | None
    hardware: str
    accelerators: int
    layout: str
    workload: str
    workload_options: FrozenMap[str | int | float | bool | None]
    level: LoadLevel
    state: PointState
    repeats: int
    metrics: FrozenMap[Estimate]
    measurement: Measurement
    checks: tuple[Check, ...]
    accuracy: Accuracy = Accuracy.NOT_RUN
    evals: tuple[EvalOutcome, ...] = ()
    saturated: bool | None = None
    error: str | None = None
    schema_version: int = RESULT_SCHEMA_VERSION
    definitions_version: int = 1
