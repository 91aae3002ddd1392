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
    EvalOutcome,
    Measurement,
    PointResult,
    PointState,
    Reporter,
    RunView,
    View,
)

from .columns import COLUMNS, Column, cells, measured

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# Some terminals treat \x9b like \x1b[, and the other codes up to \x9f as control characters.
_CONTROL = re.compile(r"(?:\x1b\[|\x9b)[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"certified": "green", "flagged": "yellow", "invalid": "red"}
_BAD = (CheckOutcome.TOO_SHORT, CheckOutcome.FLAGGED, CheckOutcome.INVALID)


class ConsoleReporter(Reporter):
    """One block per run: deployment, load levels, evals, notes."""

    def __init__(self, *, show_all: bool = False) -> None:
        self._show_all = show_all

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
            self._run(console, run)
        yield Artifact(content=out.getvalue().encode(errors="backslashreplace"))

    def _run(self, console: Console, run: RunView) -> None:
        console.print()
        for group in _groups(run.results):
            self._group(console, group)
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
        options = ", ".join(f"{k} {v}" for k, v in first.workload_options.items() if v is not None)
        engine = first.engine_version or first.engine
        precision = f" {first.precision}" if first.precision else ""
        _print(console, f"{first.model}{precision} on {first.engine} ({engine})", "bold")
        if first.server is None:
            _print(console, f"{first.accelerators} x {first.hardware}, {first.layout}", "dim")
        else:
            _print(console, f"server {first.server} (not started by this run)", "dim")
        _print(console, f"{first.workload}: {options}", "dim")
        console.print()
        hidden = [] if self._show_all else [r for r in group if _hidden(r)]
        shown = [r for r in group if r not in hidden]
        if shown:
            console.print(_fitting_table(console, shown))
        for line in _interval_lines(shown):
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


def _print(console: Console, text: str, style: str = "") -> None:
    """Print one line of untrusted text, without markup, control characters or wrapping."""
    from rich.text import Text

    console.print(Text(_clean(text), style=style), soft_wrap=True)


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\n", " "))


def _fitting_table(console: Console, results: Sequence[PointResult]) -> Table:
    """The columns with a value in any result; the least important are omitted until it fits."""
    columns = [c for c in COLUMNS if any(measured(r, c) for r in results)]
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
    return [*found, *([f"{result.state}: {result.error}"] if result.error else [])]


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
    if results and not methods:
        yield "no confidence interval: the steady state is too short"


def _groups(results: Sequence[PointResult]) -> list[list[PointResult]]:
    groups: dict[object, list[PointResult]] = {}
    for result in results:
        key = (result.deployment, result.workload, result.workload_options)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _eval_line(outcome: EvalOutcome) -> str:
    low, high = outcome.interval
    gate = "no threshold" if outcome.threshold is None else f"threshold {outcome.threshold:.2f}"
    twin = (
        f", with an eval twin ({'; '.join(outcome.twin_settings)})" if outcome.twin_settings else ""
    )
    missed = f" ({outcome.unanswered} unanswered)" if outcome.unanswered else ""
    return (
        f"eval {outcome.eval}: {_accuracy(outcome)}: {outcome.value:.3f} "
        f"[{low:.3f}, {high:.3f}] of {outcome.n} questions{missed}, {gate}, "
        f"{outcome.metric}, {outcome.variant}{twin}"
    )


def _eval_style(outcome: EvalOutcome) -> str:
    return {Accuracy.PASS: "green", Accuracy.FAIL: "red"}.get(outcome.accuracy, "")


def _accuracy(outcome: EvalOutcome) -> str:
    """The verdict; without a threshold there is only a score."""
    return "score" if outcome.threshold is None else str(outcome.accuracy)
