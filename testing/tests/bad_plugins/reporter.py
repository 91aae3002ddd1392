"""Level 2: reporters that are not deterministic, fail for some runs, or trust texts."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import itertools
import json
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

from bad_plugins import factory_of
from tokenbench.api import Artifact, NoOptions, PointResult, Reporter, ReporterSpec, View
from tokenbench_testing.kit import Subject

_COUNT = itertools.count()
_METRIC = "output_tok_s.whole"


def _plain(text: str) -> str:
    return "".join(c if unicodedata.category(c) != "Cc" else " " for c in text)


class All(Reporter):
    """Good: prints, and renders a page, a Markdown table, JSON and CSV."""

    page_type = "text/html"

    def __init__(self, options: Any) -> None:
        pass

    def render(self, view: View) -> Iterable[Artifact]:
        cells = [self.cells(result) for run in view.runs for result in run.results]
        yield Artifact(content=self.printed(cells, view).encode())
        yield Artifact(name="page.html", media_type=self.page_type, content=self.page(cells))
        yield Artifact(name="table.md", media_type="text/markdown", content=self.table(cells))
        yield Artifact(name="all.json", media_type="application/json", content=self.document(view))
        yield Artifact(name="all.csv", media_type="text/csv", content=self.sheet(cells))

    def cells(self, result: PointResult) -> list[str]:
        rate = result.metrics.get(_METRIC)
        measured = "-" if rate is None or rate.mean is None else f"{rate.mean:.1f}"
        return [result.model, result.level.label, measured, str(result.measurement)]

    def printed(self, cells: list[list[str]], view: View) -> str:
        return "\n".join(_plain("  ".join(row)) for row in cells) + "\n"

    def page(self, cells: list[list[str]]) -> bytes:
        rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in cells)
        table = "".join(f"<tr>{row}</tr>" for row in rows)
        # What a page's own code says is not shown.
        return f"<script>const unknown = NaN;</script>{table}".encode()

    def table(self, cells: list[list[str]]) -> bytes:
        head = ["| model | load | tok/s | verdict |", "|---|---|---|---|"]
        rows = [" | ".join(_plain(c).replace("|", "\\|") for c in row) for row in cells]
        return "\n".join([*head, *(f"| {row} |" for row in rows)]).encode()

    def document(self, view: View) -> bytes:
        points = [self.entry(result) for run in view.runs for result in run.results]
        return json.dumps(points).encode()

    def entry(self, result: PointResult) -> dict[str, Any]:
        rate = result.metrics.get(_METRIC)
        mean = rate.mean if rate is not None else None
        return {"model": result.model, "rate": mean, "measurement": str(result.measurement)}

    def sheet(self, cells: list[list[str]]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["model", "load", "tok/s", "verdict"])
        writer.writerows([self.cell(cell) for cell in row] for row in cells)
        return out.getvalue().encode()

    def cell(self, text: str) -> str:
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class Numbered(All):
    def page(self, cells: list[list[str]]) -> bytes:
        return super().page(cells) + f"<!-- {next(_COUNT)} -->".encode()


class Unsorted(All):
    def page(self, cells: list[list[str]]) -> bytes:
        words = {cell for row in cells for cell in row} | set("abcdefgh")
        return super().page(cells) + html.escape(" ".join(words)).encode()


class Dated(All):
    def page(self, cells: list[list[str]]) -> bytes:
        return super().page(cells) + dt.datetime.now(dt.UTC).date().isoformat().encode()


class Idle(All):
    """Renders only failed runs."""

    def render(self, view: View) -> Iterable[Artifact]:
        complete = any(run.state == "complete" for run in view.runs)
        return () if complete else super().render(view)


class WantsRepeats(All):
    """Divides by the number of repeats."""

    def cells(self, result: PointResult) -> list[str]:
        assert 1 / result.repeats if result.state == "failed" and not result.checks else True
        return super().cells(result)


class WantsEnd(All):
    """Expects an end time of a run with points."""

    def render(self, view: View) -> Iterable[Artifact]:
        for run in view.runs:
            if run.results:
                dt.datetime.fromisoformat(run.finished)
        return super().render(view)


class WantsPoints(All):
    def table(self, cells: list[list[str]]) -> bytes:
        assert max(len(row) for row in cells)
        return super().table(cells)


class WantsOneRun(All):
    def printed(self, cells: list[list[str]], view: View) -> str:
        if view.runs:
            (_only,) = view.runs
        return super().printed(cells, view)


class WantsFigures(All):
    def cells(self, result: PointResult) -> list[str]:
        rate = result.metrics.get(_METRIC)
        cells = super().cells(result)
        return cells if rate is None or result.error else [*cells[:2], f"{rate.mean:.1f}", cells[3]]


class Inventive(All):
    """Shows a metric that nobody measures."""

    def cells(self, result: PointResult) -> list[str]:
        made_up = result.metrics.get("tokens_per_secnd")
        cells = super().cells(result)
        return cells if made_up is None else [*cells[:2], str(made_up.mean), cells[3]]


class SaysNone(All):
    def page(self, cells: list[list[str]]) -> bytes:
        return super().page([[c.replace("-", "None") for c in row] for row in cells])


class Picky(All):
    def cells(self, result: PointResult) -> list[str]:
        if not result.model.isprintable():
            raise ValueError(f"not a name: {result.model!r}")
        return super().cells(result)


class Chatty(All):
    def page(self, cells: list[list[str]]) -> bytes:
        sys.stderr.write("writing the page\n")
        return super().page(cells)


class Untyped(All):
    page_type = "html"


class Wandering(All):
    """One file per run, with a path outside."""

    def render(self, view: View) -> Iterable[Artifact]:
        yield from super().render(view)
        for run in view.runs:
            yield Artifact(name=f"../{run.id}.txt", content=b"")


class Overwriting(All):
    def render(self, view: View) -> Iterable[Artifact]:
        yield from super().render(view)
        for _ in view.runs:
            yield Artifact(name="run.txt", content=b"")


class Unescaped(All):
    def page(self, cells: list[list[str]]) -> bytes:
        return "".join(f"<p title='{row[0]}'>{row[0]}</p>" for row in cells).encode()


class Colourful(All):
    """Strips control characters only without colour."""

    def printed(self, cells: list[list[str]], view: View) -> str:
        if view.color:
            return "\n".join("  ".join(row) for row in cells).replace("\r", "")
        return super().printed(cells, view)


class Broken(All):
    def table(self, cells: list[list[str]]) -> bytes:
        head = ["| model | load | tok/s | verdict |", "|---|---|---|---|"]
        return "\n".join([*head, *(f"| {_plain(' | '.join(row))} |" for row in cells)]).encode()


class NotNumbers(All):
    """NaN for what was not measured."""

    def entry(self, result: PointResult) -> dict[str, Any]:
        entry = super().entry(result)
        return {**entry, "rate": float("nan") if entry["rate"] is None else entry["rate"]}


class Ragged(All):
    def sheet(self, cells: list[list[str]]) -> bytes:
        rows = [["model", "load", "tok/s", "verdict"], *cells]
        return "\n".join(",".join(map(self.cell, row)) for row in rows).encode()

    def cell(self, text: str) -> str:
        return super().cell(_plain(text))


class Formulas(All):
    def cell(self, text: str) -> str:
        return text


class Flattering(All):
    """Shows the figure without the verdict."""

    def page(self, cells: list[list[str]]) -> bytes:
        return super().page([row[:3] for row in cells])


def _subject(made: type[Reporter]) -> Subject:
    spec = ReporterSpec(
        name="all", summary="everything", factory=factory_of(made), options=NoOptions
    )
    return Subject(kind="reporter", name="all", module=__name__, spec=spec, options=NoOptions())


GOOD = [_subject(All)]
BAD = {
    "same-view-same-bytes": _subject(Numbered),
    "every-process-writes-the-same-bytes": _subject(Unsorted),
    "reports-read-no-clock": _subject(Dated),
    "every-run-is-rendered": tuple(
        _subject(made)
        for made in (
            *(Idle, WantsRepeats, WantsEnd, WantsPoints, WantsOneRun, WantsFigures, Picky),
        )
    ),
    "metrics-exist": _subject(Inventive),
    "unmeasured-values-are-readable": _subject(SaysNone),
    "reporters-print-nothing": _subject(Chatty),
    "artifacts-have-bytes-and-a-type": _subject(Untyped),
    "artifact-names-stay-inside": _subject(Wandering),
    "artifact-names-are-unique": _subject(Overwriting),
    "pages-are-escaped": _subject(Unescaped),
    "printed-text-has-no-control-characters": _subject(Colourful),
    "tables-keep-their-columns": _subject(Broken),
    "json-is-valid": _subject(NotNumbers),
    "csv-rows-have-equal-length": _subject(Ragged),
    "csv-cells-are-not-formulas": _subject(Formulas),
    "invalid-points-are-marked": _subject(Flattering),
}
ALSO: dict[str, set[str]] = {}
