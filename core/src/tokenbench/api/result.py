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
    """Verdict: whether the measurement may be used.

    ``imported``: another tool measured it. No check has judged it, so it is never one of the other
    three.
    """

    CERTIFIED = "certified"
    FLAGGED = "flagged"
    INVALID = "invalid"
    IMPORTED = "imported"


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

    `n` counts the questions that were asked, `unanswered` those that got no answer although they
    were asked several times; `retries`: how often a question was asked again. `truncated`: answers
    that ended at the output limit. `value` counts an unanswered question as wrong. `canary`: the
    fault of the server that a cheap request found; no question was asked then, and `value` is None.
    `interval` is the 95 % Wilson interval, from its lower end if all unanswered questions are wrong
    to its upper end if all are right.

    `questions`: how many the eval has. If `n` is less, a gate stopped as soon as the verdict over
    all of them was certain with `confidence`; the interval is then that over all of them, from the
    least to the largest number of right answers that is possible with that confidence. `needed`:
    for an undecided verdict, about how many questions would decide at this score.

    `baseline`: the score of a sound deployment of the model. `others`: other metrics of the same
    answers. `concurrency`: questions in flight. `twin_settings`: if an eval twin answered, the
    settings in which it differed from the measured deployment.
    """

    eval: str
    deployment: str
    metric: str
    value: float | None
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
    truncated: int = 0
    questions: int | None = None
    confidence: float | None = None
    needed: int | None = None
    canary: str | None = None
    baseline: float | None = None
    baseline_source: str | None = None
    others: FrozenMap[float] = FrozenMap()
    concurrency: int | None = None


@attrs.frozen(kw_only=True)
class Origin:
    """Where an imported point comes from.

    `format`: the name of the file format (``bench import results --help``). `files`: name of each
    file, one per repeat. `row`: the row in the file, counted from 1 for the first result, None if
    the file has one result. `url`: the source's own address of the measurement. `fields`: other
    figures of the source, under its own names.
    """

    format: str
    files: tuple[str, ...]
    row: int | None = None
    url: str | None = None
    fields: FrozenMap[str | int | float | bool | None] = FrozenMap()


@attrs.frozen(kw_only=True)
class PointResult:
    """All results of one point. `metrics` maps a metric's name (``bench metrics``) to its estimate;
    a point that failed may have none.

    `point` and `deployment` are identities. `level.label` is the load level in short (``c8``).
    `precision` is that of the weights. `accelerators` (None if unknown, which only an imported
    result may have) and `layout` (``tp2``) describe the deployment; `roles`: accelerators by role
    if it is disaggregated, else None. `hardware`: the SKU; if there are several, each with its
    number (``8xh100+4xh200``), and `role_hardware` has the same by role. `speculation`: the method
    of speculative decoding, ``none`` without it, None if unknown. `repeats`: how many were
    measured. `saturated`: requests queued in the server, None if unknown. `error`: why the point
    failed. `notes`: what a reader of the result must know, such as figures that contradict each
    other.

    `devices`: the accelerators in short, with driver, firmware, power limits and uuids. `server`:
    host and port of a server that was already up; None for one that the run started. `date`: the
    day of the measurement, UTC, ISO 8601. `origin`: for an imported result. `classes`: metrics of
    each class of traffic (label of turns) by itself: requests, TTFT, TPOT, E2E latency, goodput.
    """

    point: str
    run: str
    deployment: str
    engine: str
    engine_version: str | None
    model: str
    precision: str | None
    hardware: str
    accelerators: int | None
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
    devices: str | None = None
    error: str | None = None
    roles: FrozenMap[int] | None = None
    role_hardware: FrozenMap[str] | None = None
    speculation: str | None = None
    date: str | None = None
    notes: tuple[str, ...] = ()
    origin: Origin | None = None
    classes: FrozenMap[FrozenMap[Estimate]] = FrozenMap()
    schema_version: int = RESULT_SCHEMA_VERSION
    definitions_version: int = 1

    @property
    def chips(self) -> str:
        """Number and SKU of the accelerators: ``8 x h200``, ``? x h200``, ``8xh100+4xh200``."""
        if "+" in self.hardware:
            return self.hardware
        return f"{'?' if self.accelerators is None else self.accelerators} x {self.hardware}"

    def mean(self, metric: str) -> float | None:
        """The mean of a metric, in its unit; None if it was not measured."""
        estimate = self.metrics.get(metric)
        return None if estimate is None else estimate.mean
