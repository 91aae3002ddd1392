"""Results of a run: metrics of points, verdicts on measurement and accuracy."""

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
    """Verdict: whether the measurement may be used."""

    CERTIFIED = "certified"
    FLAGGED = "flagged"
    INVALID = "invalid"


class Accuracy(enum.StrEnum):
    """Verdict: whether the deployment reached its accuracy thresholds."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


class CheckOutcome(enum.StrEnum):
    """Result of one check of a measurement.

    ``too short``: the check applies but has too little data; it flags the measurement.
    ``not assessed``: the check does not apply; it flags nothing.
    """

    OK = "ok"
    FLAGGED = "flagged"
    INVALID = "invalid"
    TOO_SHORT = "too short"
    NOT_ASSESSED = "not assessed"


@attrs.frozen(kw_only=True)
class Check:
    """One check with its evidence. `value` is compared with both limits, in `unit`."""

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
    interval (None if there is none). `values` has one entry per repeat, None if not measured.

    `method`: ``repeats`` for a t-interval over at least 3 repeats, ``batch means`` for one over
    equal blocks of the steady state of fewer repeats, which does not include differences between
    starts of the server.
    """

    mean: float | None
    half_width: float | None
    values: tuple[float | None, ...]
    method: str | None = None


@attrs.frozen(kw_only=True)
class MetricDefinition:
    """The definition of a metric. `higher_is_better` is None if neither direction is better."""

    name: str
    title: str
    unit: str
    definition: str
    higher_is_better: bool | None = None


@attrs.frozen(kw_only=True)
class EvalOutcome:
    """An eval's score on one deployment, and its verdict.

    `n` counts all questions, `unanswered` those that got no answer although they were asked several
    times; `retries`: how often a question was asked again. `value` counts an unanswered question as
    wrong. `interval` is the 95 % Wilson interval, from the lower end if they are all wrong to the
    upper end if they are all right. `twin_settings`: if an eval twin answered, the settings in
    which it differed from the measured deployment.
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
    unanswered: int = 0
    retries: int = 0


@attrs.frozen(kw_only=True)
class PointResult:
    """All results of one point. `metrics` maps a metric's name (``bench metrics``) to its estimate;
    a point that failed may have none.

    `point` and `deployment` are identities. `level.label` is the load level in short (``c8``).
    `precision` is that of the weights. `accelerators` and `layout` (``tp2``) describe the
    deployment. `repeats`: how many were measured. `saturated`: requests queued in the server, None
    if unknown. `error`: why the point failed.

    `server`: host and port of a server that was already up; None for one that the run started.
    """

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
    load_workers: int | None = None
    server: str | None = None
    error: str | None = None
    schema_version: int = RESULT_SCHEMA_VERSION
    definitions_version: int = 1
