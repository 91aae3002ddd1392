"""Level 2: reporters. The same bytes each time, for any run, and no trust in what runs say."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from tokenbench.api import Artifact, OptionalFeatureMissing, UsageError, View
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples import views
from tokenbench.testing.subprocess_call import call_in_subprocess

_PRINTED = ("text/", "application/json", "image/svg+xml")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_MARKUP = ("text/html", "application/xhtml+xml", "image/svg+xml")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _render(subject: Subject, view: View) -> list[Artifact]:
    """The artifacts of a reporter made anew; skips where it cannot render the view."""
    try:
        return list(subject.spec.factory(subject.options).render(view))
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"it cannot be made here: {error.message}")
    except Exception as error:
        # A check of its own refuses that: those called ..._are_shown.
        skip(f"it cannot render the run that this needs: {type(error).__name__}")


def _survives(subject: Subject, view: View, what: str) -> None:
    try:
        list(subject.spec.factory(subject.options).render(view))
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"it cannot be made here: {error.message}")
    except Exception as error:
        fail(f"{what}: raised {type(error).__name__}: {error}")


def _texts(artifacts: list[Artifact]) -> list[str]:
    """The contents that a person reads."""
    return [one.content.decode() for one in artifacts if one.media_type.startswith(_PRINTED)]


def _of_type(subject: Subject, view: View, *media_types: str) -> list[str]:
    found = [
        one.content.decode()
        for one in _render(subject, view)
        if one.media_type.partition(";")[0].strip().lower() in media_types
    ]
    if not found:
        skip(f"it makes no {' or '.join(media_types)}")
    return found


@check(2, "reporter")
def same_view_same_bytes(subject: Subject) -> None:
    """Two reporters render the same view to the same artifacts.

    To fix: no counter, no random id; iterate over sorted keys.
    """
    for view in (views.normal(), views.several()):
        if _render(subject, view) != _render(subject, view):
            fail("rendered twice, the same view gives other bytes")


def _digest(factory: Callable[[Any], Any], options: Any) -> str:
    artifacts = list(factory(options).render(views.several()))
    return hashlib.sha256(repr(artifacts).encode()).hexdigest()


@check(2, "reporter")
def every_process_writes_the_same_bytes(subject: Subject) -> None:
    """In another interpreter, in another time zone, the same view gives the same artifacts.

    To fix: sort sets before you iterate over them; show times as they are in the view, in UTC.
    """
    _render(subject, views.several())
    job = (subject.spec.factory, subject.options)
    if _digest(*job) != _digest(*job):
        skip("it differs in one process already: see same-view-same-bytes")
    if _digest(*job) != call_in_subprocess(_digest, *job):
        fail("another process writes other bytes for the same view")


@check(2, "reporter")
def reports_read_no_clock(subject: Subject) -> None:
    """No date of today is in a report of a run that is long past.

    To fix: `started` and `finished` of the run are the times that count.
    """
    days = {now.date() for now in (dt.datetime.now(dt.UTC), dt.datetime.now().astimezone())}
    forms = {day.strftime(form) for day in days for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")}
    for text in _texts(_render(subject, views.normal())):
        if found := [form for form in forms if form in text]:
            fail(f"it writes today's date ({found[0]})")


@check(2, "reporter")
def complete_runs_are_rendered(subject: Subject) -> None:
    """A complete run is rendered without an exception, and gives an artifact.

    To fix: try it with the view that the message names.
    """
    _survives(subject, views.normal(), "views.normal()")
    if not _render(subject, views.normal()):
        fail("it makes no artifact of a complete run")


@check(2, "reporter")
def failed_runs_are_rendered(subject: Subject) -> None:
    """A run whose points failed is rendered without an exception.

    To fix: a failed point has no metrics; use ``metrics.get(name)``.
    """
    _survives(subject, views.failed(), "a failed run")


@check(2, "reporter")
def interrupted_runs_are_rendered(subject: Subject) -> None:
    """A run that the user stopped, which has no `finished`, is rendered without an exception.

    To fix: look whether `finished` is None before you compute with it.
    """
    _survives(subject, views.interrupted(), "an interrupted run")


@check(2, "reporter")
def empty_runs_are_rendered(subject: Subject) -> None:
    """A run without points, and a view without runs, are rendered without an exception.

    To fix: no ``results[0]``, no ``max()`` without a default.
    """
    _survives(subject, views.empty(), "a run without points")
    _survives(subject, views.view(definitions=()), "a view without runs")


@check(2, "reporter")
def several_runs_are_rendered(subject: Subject) -> None:
    """Two runs that share names and levels are rendered without an exception.

    To fix: what identifies a run is its `id`.
    """
    _survives(subject, views.several(), "two runs")


@check(2, "reporter")
def unmeasured_metrics_are_rendered(subject: Subject) -> None:
    """Points with metrics that were not measured are rendered without an exception.

    To fix: `mean` and `half_width` may be None, each for itself.
    """
    _survives(subject, views.unmeasured(), "unmeasured metrics")


@check(2, "reporter")
def unmeasured_values_are_readable(subject: Subject) -> None:
    """People never read ``None`` or ``nan``: what was not measured is a dash, or blank.

    To fix: write a text of your own where a value is None.
    """
    for one in _render(subject, views.unmeasured()):
        if not one.media_type.startswith(("text/", "image/svg+xml")):
            continue
        if found := re.search(r"\b(None|nan|NaN)\b", one.content.decode()):
            fail(f"{one.name or 'the printed text'} says {found[0]!r}")


@check(2, "reporter")
def hostile_text_is_rendered(subject: Subject) -> None:
    """Names, notes and errors with markup, control characters and newlines raise nothing.

    To fix: escape texts before a library parses them as markup.
    """
    _survives(subject, views.strange(), "strange texts")


@check(2, "reporter")
def reporters_print_nothing(subject: Subject) -> None:
    """`render` writes to neither standard output nor standard error: core prints artifacts.

    To fix: give an artifact without a name.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        _render(subject, views.normal())
    if out.getvalue():
        fail(f"it prints {out.getvalue()[:80]!r}")


@check(2, "reporter")
def artifacts_have_bytes_and_a_type(subject: Subject) -> None:
    """Each artifact has bytes and a media type; what is printed (no name) is UTF-8 text.

    To fix: ``Artifact(content=text.encode(), media_type="text/csv", name="points.csv")``.
    """
    for one in _render(subject, views.normal()):
        if not isinstance(one, Artifact) or not isinstance(one.content, bytes):
            fail(f"not an Artifact with bytes: {one!r:.80}")
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", one.media_type):
            fail(f"{one.name}: no media type: {one.media_type!r}")
        if one.name is None and not one.media_type.startswith("text/"):
            fail(f"{one.media_type} cannot be printed: give it a name")


@check(2, "reporter")
def artifact_names_stay_inside(subject: Subject) -> None:
    """Names are relative paths without ``..``, also when a run is called so.

    To fix: fixed names, or run ids; never a user's text.
    """
    for view in (views.normal(), views.strange()):
        for name in (one.name for one in _render(subject, view)):
            if name is None:
                continue
            path, windows = PurePosixPath(name), PureWindowsPath(name)
            outside = path.is_absolute() or windows.anchor or ".." in windows.parts
            if outside or not path.parts or not name.isprintable():
                fail(f"an artifact is called {name!r}")


@check(2, "reporter")
def artifact_names_are_unique(subject: Subject) -> None:
    """No two artifacts of a view have one name, also when two runs have.

    To fix: put the run's `id` into the name.
    """
    names = [one.name for one in _render(subject, views.several()) if one.name is not None]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        fail(f"two artifacts are called {twice[0]!r}")


@check(2, "reporter")
def pages_are_escaped(subject: Subject) -> None:
    r"""What a run says never becomes markup of a page (HTML, SVG).

    To fix: ``html.escape`` for texts; in embedded JSON write ``<`` as ``\u003c``.
    """
    for text in _of_type(subject, views.strange(), *_MARKUP):
        for mark in (views.SCRIPT, views.IMAGE.partition(">")[2]):
            if mark in text:
                fail(f"a page holds a run's text as markup: {mark}")


@check(2, "reporter")
def printed_text_has_no_control_characters(subject: Subject) -> None:
    """Printed text holds no control characters but newlines; with `color`, colours as well.

    To fix: take out every character of Unicode category Cc before you print a run's text.
    """
    for color in (False, True):
        for one in _render(subject, views.strange(color=color)):
            if one.name is not None:
                continue
            text = one.content.decode()
            text = _COLOR.sub("", text) if color else text
            bad = [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]
            if bad:
                fail(f"the terminal gets {bad[0]!r} (color {color})")


@check(2, "reporter")
def tables_keep_their_columns(subject: Subject) -> None:
    r"""In Markdown no text of a run adds a column to a table or breaks a row.

    To fix: write ``|`` as ``\|``, and newlines as spaces.
    """
    for text in _of_type(subject, views.strange(), "text/markdown"):
        width = None
        for line in text.replace("\r", "\n").split("\n"):
            if not line.startswith("|"):
                width = None
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            width = width or cells
            if cells != width or not line.rstrip().endswith("|"):
                fail(f"a row of {cells - 1} cells in a table of {width - 1}: {line[:80]!r}")


@check(2, "reporter")
def json_is_valid(subject: Subject) -> None:
    """JSON can be read by any reader: no NaN, no Infinity, whatever the runs hold.

    To fix: ``json.dumps(..., allow_nan=False)``, None for what was not measured.
    """

    def fail_constant(name: str) -> None:
        fail(f"{name} is not JSON")

    for view in (views.normal(), views.unmeasured(), views.strange()):
        for text in _of_type(subject, view, "application/json"):
            try:
                json.loads(text, parse_constant=fail_constant)
            except ValueError as error:
                fail(f"it cannot be read as JSON: {error}")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


@check(2, "reporter")
def csv_rows_have_equal_length(subject: Subject) -> None:
    """Every row of a CSV file has as many cells as its header.

    To fix: write it with the csv module, and give every row all columns.
    """
    for view in (views.normal(), views.failed(), views.strange()):
        for text in _of_type(subject, view, "text/csv"):
            rows = list(csv.reader(io.StringIO(text, newline="")))
            if odd := [row for row in rows if len(row) != len(rows[0])]:
                fail(f"a row of {len(odd[0])} cells below a header of {len(rows[0])}")


@check(2, "reporter")
def csv_cells_are_not_formulas(subject: Subject) -> None:
    """No cell of a CSV file that holds a run's text begins as a formula of a spreadsheet.

    To fix: put a quote (') before a text that begins with ``= + - @``.
    """
    for text in _of_type(subject, views.strange(), "text/csv"):
        for cell in (c for row in csv.reader(io.StringIO(text, newline="")) for c in row):
            if cell.startswith(_FORMULA) and not _is_number(cell):
                fail(f"a spreadsheet would run {cell[:40]!r}")


@check(2, "reporter")
def invalid_points_are_marked(subject: Subject) -> None:
    """A point whose measurement is invalid is left out, or shown with the word `invalid`.

    To fix: show `measurement` beside the figures.
    """
    for one in _render(subject, views.invalid()):
        if not one.media_type.startswith(_PRINTED):
            continue
        text = one.content.decode()
        # The sample's throughputs times 9,876.5: 12,150,564 and 12,192,539, however written.
        shown = re.search(r"12[.,_ ]?(150[.,_ ]?56|192[.,_ ]?53)", text)
        if shown and "invalid" not in text.lower():
            fail(f"{one.name or 'the printed text'} shows an invalid point's {shown[0]}... as good")
