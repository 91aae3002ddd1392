"""Runs as Markdown: a table per series, verdicts, evals, notes."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence

import attrs

from tokenbench.api import (
    Accuracy,
    Artifact,
    CheckOutcome,
    EvalOutcome,
    Measurement,
    PointResult,
    PointState,
    Reporter,
    RunView,
    UsageError,
    View,
)

from .composition import composition_lines
from .derived import bounds_note, rates_note
from .text import escape, table

_SAME = (
    *("model", "precision", "engine", "engine_version", "hardware", "speculation", "server"),
    *("workload", "workload_options"),
)
"""What the points of a series have in common."""
_BAD = (CheckOutcome.TOO_SHORT, CheckOutcome.FLAGGED, CheckOutcome.INVALID)


@attrs.frozen
class _Column:
    """The first metric of `metrics` that a series has, times `scale`."""

    title: str
    metrics: tuple[str, ...]
    scale: float = 1.0
    digits: int = 1


_COLUMNS = (
    _Column("output, tok/s", ("output_tok_s.steady", "output_tok_s.whole")),
    _Column(
        "total, tok/s per accelerator",
        ("total_tok_s_per_accelerator.steady", "total_tok_s_per_accelerator.whole"),
    ),
    _Column("goodput, req/s", ("goodput_req_s.steady",), digits=2),
    _Column("TTFT p50, ms", ("ttft_s.p50",), 1e3, 0),
    _Column("TTFT p99, ms", ("ttft_s.p99",), 1e3, 0),
    _Column("TPOT p50, ms", ("tpot_s.p50",), 1e3, 2),
    _Column("interactivity p50, tok/s/user", ("interactivity_tok_s.p50",)),
    _Column(
        "cost, USD per million total tokens",
        ("usd_per_million_total_tokens.steady", "usd_per_million_total_tokens.whole"),
        digits=3,
    ),
    _Column("% of TPOT's bound", ("tpot_bound_share.p50",), 100),
    _Column(
        "% of throughput's bound",
        ("throughput_bound_share.steady", "throughput_bound_share.whole"),
        100,
    ),
    _Column("energy, J per output token", ("energy_j_per_output_token.accelerator",), digits=2),
)


class MarkdownReporter(Reporter):
    """Renders one document for all runs of the view."""

    def __init__(self, output: str, title: str, *, show_all: bool) -> None:
        if not output or "/" in output or "\\" in output or not output.isprintable():
            raise UsageError(
                f"output: expected the name of a file, got {output!r}",
                hint="bench report --out FOLDER chooses the folder; output=- prints the summary",
            )
        self._name = None if output == "-" else output
        self._title = title
        self._show_all = show_all

    def render(self, view: View) -> Iterable[Artifact]:
        """One artifact."""
        lines = [f"## {escape(self._title)}", ""]
        for run in view.runs:
            lines += self._run(run)
        lines += composition_lines(view.economics.compositions if view.economics else ())
        lines += rates_note(view)
        content = "\n".join(lines).rstrip("\n") + "\n"
        yield Artifact(
            content=content.encode(), media_type="text/markdown; charset=utf-8", name=self._name
        )

    def _run(self, run: RunView) -> Iterator[str]:
        count = f"{len(run.results)} point{'' if len(run.results) == 1 else 's'}"
        verdicts = collections.Counter(str(result.measurement) for result in run.results)
        counted = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
        yield f"Run {escape(run.id)}, {escape(run.state)}: {count}{counted and f' ({counted})'}"
        yield ""
        if run.state != "complete":
            yield f"**The run is not complete:** {escape(run.error or 'unknown reason')}"
            yield ""
        for series in _series(run.results):
            yield from self._table(series)
        if run.evals:
            yield from _evals(run.evals)
        if run.notes:
            yield from (f"- note: {escape(note)}" for note in run.notes)
            yield ""

    def _table(self, series: Sequence[PointResult]) -> Iterator[str]:
        yield f"### {_heading(series)}"
        yield ""
        yield _workload(series[0])
        yield ""
        shown = [r for r in series if self._show_all or not _why_hidden(r)]
        if shown:
            yield from _points(shown)
            yield ""
        several = len({_layout(r) for r in series}) > 1
        named = [(r, f"{_layout(r)} " * several + escape(r.level.label)) for r in series]
        reasons = [f"- {name}: {escape(reason)}" for r, name in named for reason in _reasons(r)]
        if hidden := [f"{name} ({_why_hidden(r)})" for r, name in named if r not in shown]:
            reasons.insert(0, f"- not shown: {', '.join(hidden)}")
        if reasons:
            yield from (*reasons, "")


def _series(results: Sequence[PointResult]) -> list[list[PointResult]]:
    """Points that differ in layout and load level only. Deployments that differ in nothing that a
    table shows, such as two settings of a flag, have tables of their own.
    """
    groups: dict[object, list[PointResult]] = {}
    deployments: dict[object, list[str]] = {}
    for result in results:
        key = (*(getattr(result, name) for name in _SAME),)
        equal = deployments.setdefault((key, result.accelerators, result.layout), [])
        if result.deployment not in equal:
            equal.append(result.deployment)
        groups.setdefault((key, equal.index(result.deployment)), []).append(result)
    return list(groups.values())


def _heading(series: Sequence[PointResult]) -> str:
    point = series[0]
    model = " ".join(filter(None, (point.model, point.precision)))
    engine = point.engine_version or point.engine
    start = f"{escape(model)} on {escape(point.engine)} ({escape(engine)})"
    if point.server is not None:
        return f"{start}, server {escape(point.server)}"
    drafts = "" if point.speculation in (None, "none") else f", {escape(point.speculation)}"
    layouts = {_layout(one) for one in series}
    where = escape(point.hardware)
    if len(layouts) == 1:
        where = f"{escape(point.chips)}, {escape(point.layout)}"
    return f"{start}, {where}{drafts}"


def _layout(point: PointResult) -> str:
    count = "?" if point.accelerators is None else point.accelerators
    return f"{count} x {escape(point.layout)}"


def _workload(point: PointResult) -> str:
    options = ", ".join(f"{k} {v}" for k, v in point.workload_options.items() if v is not None)
    return f"Workload {escape(point.workload)}{options and f': {escape(options)}'}"


def _points(points: Sequence[PointResult]) -> Iterator[str]:
    columns = [(c.title, c, name) for c in _COLUMNS if (name := _metric(points, c))]
    several = len({_layout(p) for p in points}) > 1
    facts = [[*([_layout(p)] if several else []), escape(p.level.label)] for p in points]
    names = ["layout", "load"] if several else ["load"]
    header = [*names, *(title for title, _, _ in columns), "measurement"]
    rows = [
        [*fact, *(_cell(p, name, c) for _, c, name in columns), _verdict(p)]
        for fact, p in zip(facts, points, strict=True)
    ]
    yield from table(header, rows, len(names))
    methods = {e.method for p in points for e in p.metrics.values() if e.half_width is not None}
    if "repeats" in methods:
        yield from ("", "± is the half-width of the 95 % CI over repeats.")
    if "batch means" in methods:
        yield from ("", "± is the half-width of the 95 % CI by batch means of one steady state.")
    yield from bounds_note(points)


def _metric(points: Sequence[PointResult], column: _Column) -> str | None:
    """The metric that the column shows for a series; None if no point has one."""
    for name in column.metrics:
        if any(point.mean(name) is not None for point in points):
            return name
    return None


def _cell(point: PointResult, name: str, column: _Column) -> str:
    estimate = point.metrics.get(name)
    if estimate is None or estimate.mean is None:
        return "-"
    text = f"{estimate.mean * column.scale:,.{column.digits}f}"
    if estimate.half_width is None:
        return text
    return f"{text} ± {estimate.half_width * column.scale:,.{column.digits}f}"


def _verdict(point: PointResult) -> str:
    parts = [str(point.measurement)]
    if point.state is not PointState.DONE:
        parts.append(str(point.state))
    if point.saturated:
        parts.append("saturated")
    if point.accuracy is not Accuracy.NOT_RUN:
        parts.append(f"accuracy {point.accuracy}")
    return ", ".join(parts)


def _why_hidden(point: PointResult) -> str | None:
    if point.measurement is Measurement.INVALID:
        return "invalid"
    return "accuracy failed" if point.accuracy is Accuracy.FAIL else None


def _reasons(point: PointResult) -> list[str]:
    found = [f"{c.outcome}: {c.name}: {c.evidence}" for c in point.checks if c.outcome in _BAD]
    failure = [f"{point.state}: {point.error}"] if point.error else []
    return [*found, *failure, *point.notes]


def _evals(outcomes: Sequence[EvalOutcome]) -> Iterator[str]:
    yield "### Evals"
    yield ""
    header = ["eval", "variant", "score", "95 % CI", "questions", "threshold", "accuracy"]
    yield from table(header, map(_eval_cells, outcomes), 2)
    yield ""
    remarks = [remark for outcome in outcomes for remark in _remarks(outcome)]
    if remarks:
        yield from remarks
        yield ""


def _remarks(outcome: EvalOutcome) -> Iterator[str]:
    """What the table does not say, as items of a list."""
    name = escape(outcome.eval)
    if outcome.twin_settings:
        yield f"- {name}: answered by an eval twin ({escape('; '.join(outcome.twin_settings))})"
    if outcome.canary is not None:
        yield f"- {name}: no question was asked: {escape(outcome.canary)}"
    if outcome.confidence is not None:
        yield (
            f"- {name}: {outcome.n:,} of {outcome.questions:,} questions were asked; the verdict "
            f"over all is certain with {outcome.confidence:.3g}"
        )
    if outcome.needed is not None:
        yield f"- {name}: about {outcome.needed:,} questions would decide at this score"
    if outcome.baseline is not None:
        source = f" ({escape(outcome.baseline_source)})" if outcome.baseline_source else ""
        yield f"- {name}: baseline {outcome.baseline:.3f}{source}"
    for other, value in outcome.others.items():
        yield f"- {name}: {escape(other)} {value:.3f}"


def _eval_cells(outcome: EvalOutcome) -> list[str]:
    low, high = outcome.interval
    unanswered = f" ({outcome.unanswered} unanswered)" if outcome.unanswered else ""
    return [
        escape(outcome.eval),
        escape(", ".join(filter(None, (outcome.variant, outcome.metric)))) or "-",
        "-" if outcome.value is None else f"{outcome.value:.3f}",
        "-" if outcome.value is None else f"{low:.3f} to {high:.3f}",
        f"{outcome.n}{unanswered}",
        "-" if outcome.threshold is None else f"{outcome.threshold:.2f}",
        "score only" if outcome.accuracy is Accuracy.NOT_RUN else str(outcome.accuracy),
    ]
