"""Runs as text for a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tokenbench.api import (
    Accuracy,
    Artifact,
    CheckOutcome,
    Composition,
    EvalOutcome,
    Measurement,
    PointResult,
    PointState,
    Reporter,
    RunView,
    View,
)

from . import composition
from .chart import MIN_WIDTH, chart_of
from .columns import Column, cells, useful
from .derived import light_lines, rate_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# Some terminals treat \x9b like \x1b[, and the other codes up to \x9f as control characters.
_CONTROL = re.compile(r"(?:\x1b\[|\x9b)[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"certified": "green", "flagged": "yellow", "invalid": "red", "imported": "cyan"}
_BAD = (CheckOutcome.TOO_SHORT, CheckOutcome.FLAGGED, CheckOutcome.INVALID)


class ConsoleReporter(Reporter):
    """One block per run: deployment, load levels, chart, evals, notes."""

    def __init__(
        self, *, show_all: bool = False, chart: bool = True, composition: bool = True
    ) -> None:
        self._show_all = show_all
        self._chart = chart
        self._composition = composition

    def render(self, view: View) -> Iterable[Artifact]:
        """One artifact, for the terminal."""
        from rich.console import Console

        out = io.StringIO()
        console = Console(
            file=out,
            width=max(60, view.width),
            force_terminal=view.color,
            no_color=not view.color,
            color_system="standard" if view.color else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        for run in view.runs:
            self._run(console, run, chart=self._chart and view.width >= MIN_WIDTH)
            shown = [r for r in run.results if self._show_all or not _hidden(r)]
            for line in rate_lines(shown, view.economics):
                _print(console, line, "dim")
        if self._composition and view.economics is not None:
            _compositions(console, composition.shown(view.economics.compositions))
        text = out.getvalue()
        if not view.color:
            text = "\n".join(line.rstrip() for line in text.split("\n"))
        yield Artifact(content=text.encode(errors="backslashreplace"))

    def _run(self, console: Console, run: RunView, *, chart: bool) -> None:
        console.print()
        for group in _groups(run.results):
            self._group(console, group)
        for same in _same_workload(run.results) if chart else ():
            self._draw(console, same)
        if not run.results:
            _print(console, "no point to show")
        for outcome in run.evals:
            _print(console, _eval_line(outcome), _eval_style(outcome))
        for note in run.notes:
            _print(console, f"note: {note}", "dim")
        if run.state != "complete":
            _print(console, f"run {run.state}: {run.error or 'unknown reason'}", "red")

    def _group(self, console: Console, group: Sequence[PointResult]) -> None:
        first = group[0]
        engine = first.engine_version or first.engine
        precision = f" {first.precision}" if first.precision else ""
        _print(console, f"{first.model}{precision} on {first.engine} ({engine})", "bold")
        if first.server is None:
            drafts = "" if first.speculation in (None, "none") else f", {first.speculation}"
            _print(console, f"{first.chips}, {first.layout}{drafts}", "dim")
        else:
            _print(console, f"server {first.server} (not started by this run)", "dim")
        _print(console, f"{first.workload}: {_options(first)}", "dim")
        console.print()
        hidden = [] if self._show_all else [r for r in group if _hidden(r)]
        shown = [r for r in group if r not in hidden]
        if shown:
            console.print(_fitting_table(console, shown))
        for line in (*_interval_lines(shown), *light_lines(shown)):
            _print(console, line, "dim")
        if hidden:
            levels = ", ".join(f"{r.level.label} ({_why_hidden(r)})" for r in hidden)
            _print(
                console, f"hidden: {levels}; show them with --reporter console:all=true", "yellow"
            )
        for result in group:
            for reason in _reasons(result):
                _print(console, f"{result.level.label}: {reason}", "yellow")
        console.print()

    def _draw(self, console: Console, points: Sequence[PointResult]) -> None:
        """The chart of one workload."""
        from rich.text import Text

        shown = [
            r for r in points if r.state is PointState.DONE and (self._show_all or not _hidden(r))
        ]
        chart = chart_of(shown)
        if chart is None:
            return
        _print(console, f"{points[0].workload}: {_options(points[0])}", "bold")
        for line in chart.lines(console.width):
            text = Text.assemble(*((_clean(part), style) for part, style in line))
            console.print(text, soft_wrap=True)
        console.print()


def _print(console: Console, text: str, style: str = "") -> None:
    """Print one line of untrusted text, without markup, control characters or wrapping."""
    from rich.text import Text

    console.print(Text(_clean(text), style=style), soft_wrap=True)


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\n", " "))


def _fitting_table(console: Console, results: Sequence[PointResult]) -> Table:
    """The columns with a value in any result; the least important are omitted until it fits."""
    columns = useful(results)
    table = _table(results, columns)
    unlimited = console.options.update(max_width=10_000)
    while len(columns) > 1 and console.measure(table, options=unlimited).maximum > console.width:
        # Of equal rank, the last is omitted first: throughput and TTFT stay longest.
        columns.remove(max(reversed(columns), key=lambda c: c.rank))
        table = _table(results, columns)
    return table


def _table(results: Sequence[PointResult], columns: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("load", no_wrap=True)
    for column in columns:
        table.add_column(f"{column.title}\n{column.unit}", justify="right", no_wrap=True)
    table.add_column("measurement", no_wrap=True)
    texts = [cells(results, column) for column in columns]
    for row, result in enumerate(results):
        table.add_row(result.level.label, *(text[row] for text in texts), _verdict(result))
    return table


def _compositions(console: Console, families: Sequence[Composition]) -> None:
    """A table per family: what changes give together."""
    from rich import box
    from rich.table import Table

    for family in families:
        console.print()
        _print(console, f"gains together: {family.family}", "bold")
        _print(console, f"base: {family.base} ({', '.join(family.base_engines)})", "dim")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for title in composition.HEADER:
            table.add_column(title, justify="left" if title == "changes" else "right")
        for row in composition.rows(family):
            table.add_row(*map(_clean, row))
        console.print(table)
    if families:
        _print(console, composition.LEGEND, "dim")


def _verdict(result: PointResult) -> Text:
    from rich.text import Text

    text = str(result.measurement)
    if result.state is not PointState.DONE:
        text = f"{text} ({result.state})"
    elif result.saturated:
        text = f"{text}, saturated"
    return Text(text, style=_STYLES[str(result.measurement)])


def _hidden(result: PointResult) -> bool:
    return result.measurement is Measurement.INVALID or result.accuracy is Accuracy.FAIL


def _why_hidden(result: PointResult) -> str:
    return "invalid" if result.measurement is Measurement.INVALID else "accuracy failed"


def _reasons(result: PointResult) -> list[str]:
    found = [f"{c.outcome}: {c.name}: {c.evidence}" for c in result.checks if c.outcome in _BAD]
    failure = [f"{result.state}: {result.error}"] if result.error else []
    return [*found, *failure, *result.notes]


def _interval_lines(results: Sequence[PointResult]) -> Iterator[str]:
    """What ± means in the table."""
    methods = {
        estimate.method: result.repeats
        for result in results
        for estimate in result.metrics.values()
        if estimate.method is not None
    }
    if "repeats" in methods:
        yield "± is the half-width of the 95 % CI over repeats"
    if "batch means" in methods:
        yield (
            "± is the half-width of the 95 % CI by batch means of one steady state; "
            "it does not include differences between starts of the server"
        )
    if any(r.measurement is not Measurement.IMPORTED for r in results) and not methods:
        yield "no confidence interval: the steady state is too short"


def _groups(results: Sequence[PointResult]) -> list[list[PointResult]]:
    groups: dict[object, list[PointResult]] = {}
    for result in results:
        key = (result.deployment, result.workload, result.workload_options)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _same_workload(results: Sequence[PointResult]) -> list[list[PointResult]]:
    groups: dict[object, list[PointResult]] = {}
    for result in results:
        groups.setdefault((result.workload, result.workload_options), []).append(result)
    return list(groups.values())


def _options(point: PointResult) -> str:
    return ", ".join(f"{k} {v}" for k, v in point.workload_options.items() if v is not None)


def _eval_line(outcome: EvalOutcome) -> str:
    if outcome.value is None:
        return f"eval {outcome.eval}: {outcome.accuracy}: no question was asked: {outcome.canary}"
    low, high = outcome.interval
    gate = "no threshold" if outcome.threshold is None else f"threshold {outcome.threshold:.2f}"
    twin = (
        f", with an eval twin ({'; '.join(outcome.twin_settings)})" if outcome.twin_settings else ""
    )
    missed = f" ({outcome.unanswered} unanswered)" if outcome.unanswered else ""
    known = "" if outcome.baseline is None else f", baseline {outcome.baseline:.3f}"
    others = "".join(f", {name} {value:.3f}" for name, value in outcome.others.items())
    return (
        f"eval {outcome.eval}: {_accuracy(outcome)}: {outcome.value:.3f} "
        f"[{low:.3f}, {high:.3f}] of {outcome.n} questions{missed}{_stopped(outcome)}, "
        f"{gate}{known}, {outcome.metric}, {outcome.variant}{others}{twin}{_needed(outcome)}"
    )


def _stopped(outcome: EvalOutcome) -> str:
    """That a gate did not ask all its questions; the interval is over all."""
    if outcome.confidence is None:
        return ""
    return f" (certain of all {outcome.questions:,} with {outcome.confidence:.3g})"


def _needed(outcome: EvalOutcome) -> str:
    """How many questions would decide."""
    if outcome.needed is None:
        return ""
    return f"; about {outcome.needed:,} questions would decide at this score"


def _eval_style(outcome: EvalOutcome) -> str:
    return {Accuracy.PASS: "green", Accuracy.FAIL: "red"}.get(outcome.accuracy, "")


def _accuracy(outcome: EvalOutcome) -> str:
    """The verdict; without a threshold there is only a score."""
    return "score" if outcome.accuracy is Accuracy.NOT_RUN else str(outcome.accuracy)
