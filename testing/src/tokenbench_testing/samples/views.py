"""Sample views: complete, failed, interrupted, empty, unmeasured and invalid runs, and hostile
text.

The figures are fictional and distinct. The dates are in the past, so that today's date in a report
can only come from a clock.
"""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    Accuracy,
    Check,
    CheckOutcome,
    Estimate,
    EvalOutcome,
    FrozenMap,
    LoadLevel,
    Measurement,
    MetricDefinition,
    Origin,
    PointResult,
    PointState,
    RunView,
    View,
)

SCRIPT = "<script>alert('kit')</script>"
IMAGE = '"><img src=kit onerror=alert(1)>'
ESCAPES = "\x1b[2J\x1b]0;kit\x07\x9b31m\x08\x00"
FORMULA = "=HYPERLINK(0)"
STRANGE = f"{FORMULA} {SCRIPT} {IMAGE} a|b\nnext line\r, 'quoted' & {ESCAPES} ../../etc [b]x[/b] ü"

_METRICS = {
    "output_tok_s.whole": (1234.5, "tok/s", "Output throughput, whole repeat"),
    "output_tok_s.steady": (1230.25, "tok/s", "Output throughput, steady state"),
    "ttft_s.p50": (0.0505, "s", "Time to first token, p50"),
    "ttft_s.p99": (0.125, "s", "Time to first token, p99"),
    "tpot_s.p50": (0.0105, "s", "Time per output token, p50"),
    "interactivity_tok_s.p50": (95.25, "tok/s", "Interactivity, p50"),
}
DEFINITIONS = tuple(
    MetricDefinition(name=name, title=title, unit=unit, definition=f"{title}, as the kit says.")
    for name, (_, unit, title) in _METRICS.items()
)


def _metrics(factor: float | None) -> FrozenMap[Estimate]:
    if factor is None:
        nothing = Estimate(mean=None, half_width=None, values=(None, None, None))
        return FrozenMap(dict.fromkeys(_METRICS, nothing))
    return FrozenMap(
        {
            name: Estimate(
                mean=value * factor, half_width=value * 0.01, values=(value * factor,) * 3
            )
            for name, (value, _, _) in _METRICS.items()
        }
    )


def point(concurrency: int = 4, factor: float | None = 1.0, **changes: Any) -> PointResult:
    """A point whose metrics are the sample values times `factor`; None: nothing was measured."""
    facts: dict[str, Any] = {
        "point": f"point-{concurrency}",
        "run": "run-a",
        "deployment": "deployment-a",
        "engine": "engine-a",
        "engine_version": "1.2.3",
        "model": "model-a",
        "precision": "bf16",
        "hardware": "chip-a",
        "accelerators": 2,
        "layout": "tp2",
        "workload": "words",
        "workload_options": FrozenMap({"input_tokens": 64, "note": "plain"}),
        "level": LoadLevel(concurrency=concurrency),
        "state": PointState.DONE,
        "repeats": 3,
        "metrics": _metrics(factor),
        "measurement": Measurement.CERTIFIED,
        "checks": (Check(name="steady", outcome=CheckOutcome.OK, evidence="within 2 %"),),
        "accuracy": Accuracy.PASS,
        "saturated": False,
    }
    return PointResult(**{**facts, **changes})


OUTCOME = EvalOutcome(
    eval="sums",
    deployment="deployment-a",
    metric="exact",
    value=0.75,
    n=40,
    variant="sums-1",
    interval=(0.6, 0.86),
    accuracy=Accuracy.PASS,
    threshold=0.5,
    threshold_source="the kit",
    seconds=12.5,
)


def run(*results: PointResult, **changes: Any) -> RunView:
    """A complete run."""
    facts: dict[str, Any] = {
        "id": "run-a",
        "path": "runs/run-a",
        "name": "sample",
        "started": "2001-02-03T04:05:06Z",
        "finished": "2001-02-03T04:15:06Z",
        "state": "complete",
        "results": results,
        "evals": (OUTCOME,),
        "provenance": FrozenMap({"bench.version": "0.1.0", "host.name": "kit"}),
        "notes": ("a note",),
    }
    return RunView(**{**facts, **changes})


def view(*runs: RunView, **changes: Any) -> View:
    """A view of runs, with the sample definitions."""
    return attrs.evolve(View(runs=runs, definitions=DEFINITIONS), **changes)


def normal() -> View:
    """One complete run with three load levels, one of them an arrival rate."""
    rate = LoadLevel(rate_per_s=2.5, arrival="poisson")
    return view(run(point(1, 0.5), point(4), point(8, 1.5, level=rate)))


def several() -> View:
    """Two runs with the same name and common points."""
    other = [attrs.evolve(point(n, 1.1), run="run-b") for n in (4, 16)]
    return view(run(point(1), point(4)), run(*other, id="run-b", path="runs/run-b"))


def failed() -> View:
    """A run whose engine died: one point failed, one stalled."""
    error = "the engine exited with code 137"
    dead = {"measurement": Measurement.INVALID, "accuracy": Accuracy.NOT_RUN, "error": error}
    points = (
        point(1, None, state=PointState.FAILED, metrics=FrozenMap(), checks=(), repeats=0, **dead),
        point(4, None, state=PointState.STALLED, checks=(), repeats=1, **dead),
    )
    return view(run(*points, state="failed", error=error, evals=(), notes=()))


def interrupted() -> View:
    """A run that the user stopped: no end time, and its last point is unfinished."""
    cut = point(4, None, state=PointState.INTERRUPTED, metrics=FrozenMap(), repeats=0)
    cut = attrs.evolve(cut, measurement=Measurement.INVALID, accuracy=Accuracy.UNDECIDED)
    return view(run(point(1), cut, state="interrupted", finished=None, evals=()))


def empty() -> View:
    """A run without results and provenance."""
    nothing: dict[str, Any] = {"evals": (), "notes": (), "provenance": FrozenMap()}
    return view(run(state="failed", finished=None, error=None, **nothing), definitions=())


def unmeasured() -> View:
    """Points with unknown facts and without measured metrics; an eval that asked nothing."""
    unknown: dict[str, Any] = {"engine_version": None, "precision": None, "saturated": None}
    outcome = attrs.evolve(OUTCOME, threshold=None, threshold_source=None, seconds=None)
    unsound = attrs.evolve(
        OUTCOME,
        eval="not asked",
        value=None,
        n=0,
        interval=(0.0, 1.0),
        accuracy=Accuracy.FAIL,
        canary="the server repeats one token",
    )
    points = (point(1, None, **unknown), point(4, None, **unknown))
    return view(run(*points, evals=(outcome, unsound)))


def imported() -> View:
    """Points that another tool measured: without repeats, checks and number of accelerators."""
    facts: dict[str, Any] = {
        "measurement": Measurement.IMPORTED,
        "accuracy": Accuracy.NOT_RUN,
        "accelerators": None,
        "repeats": 1,
        "checks": (),
        "saturated": None,
        "date": "2001-02-03",
        "speculation": "mtp",
        "roles": FrozenMap({"prefill": 2, "decode": 4}),
        "notes": ("the row contradicts itself",),
        "origin": Origin(
            format="rows", files=("rows.csv",), row=7, url="https://example.org/runs/7"
        ),
    }
    return view(run(point(1, **facts), point(4, **facts), evals=(), provenance=FrozenMap()))


def invalid() -> View:
    """A run whose only point is invalid. Its metrics are 9,876.5 times the sample values."""
    check = Check(name="lengths", outcome=CheckOutcome.INVALID, evidence="98 % too short")
    bad = point(4, 9876.5, measurement=Measurement.INVALID, checks=(check,))
    return view(run(bad, evals=()))


def strange(*, color: bool = False) -> View:
    """A run in which every text is hostile."""
    words: dict[str, Any] = dict.fromkeys(
        ("engine", "engine_version", "model", "precision", "hardware", "layout", "workload"),
        STRANGE,
    )
    check = Check(name=STRANGE, outcome=CheckOutcome.FLAGGED, evidence=STRANGE)
    options = FrozenMap({"note": STRANGE})
    bad = point(1, workload_options=options, checks=(check,), error=STRANGE, **words)
    bad = attrs.evolve(bad, measurement=Measurement.FLAGGED, state=PointState.FAILED)
    outcome = attrs.evolve(OUTCOME, eval=STRANGE, metric=STRANGE, variant=STRANGE)
    found = run(
        bad,
        evals=(attrs.evolve(outcome, twin_settings=(STRANGE,), threshold_source=STRANGE),),
        name=STRANGE,
        state="failed",
        error=STRANGE,
        notes=(STRANGE,),
        provenance=FrozenMap({"host.name": STRANGE}),
    )
    return view(found, color=color)
