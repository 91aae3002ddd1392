"""Level 2: reporters. Deterministic bytes for any run; texts of a run are untrusted."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import difflib
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import attrs

from tokenbench.api import (
    Artifact,
    Estimate,
    FrozenMap,
    OptionalFeatureMissing,
    PluginContext,
    UsageError,
    View,
)
from tokenbench.harness import DEFINITIONS
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples import views
from tokenbench_testing.subprocess_call import call_in_subprocess

_PRINTED = ("text/", "application/json", "image/svg+xml")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_CODE = re.compile(r"<(script|style)>.*?</\1>", re.DOTALL)
_MARKUP = ("text/html", "application/xhtml+xml", "image/svg+xml")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _render(subject: Subject, view: View) -> list[Artifact]:
    """The artifacts of a new reporter; skips if it cannot render the view."""
    try:
        return list(subject.create().render(view))
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"could not create it here: {error.message}")
    except Exception as error:
        # every-run-is-rendered reports it.
        skip(f"it cannot render the required run: {type(error).__name__}")


def _check_renders(subject: Subject, view: View, what: str) -> None:
    try:
        list(subject.create().render(view))
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"could not create it here: {error.message}")
    except Exception as error:
        fail(f"{what}: raised {type(error).__name__}: {error}")


def _texts(artifacts: list[Artifact]) -> list[str]:
    """The text contents."""
    return [one.content.decode() for one in artifacts if one.media_type.startswith(_PRINTED)]


def _of_type(subject: Subject, view: View, *media_types: str) -> list[str]:
    found = [
        one.content.decode()
        for one in _render(subject, view)
        if one.media_type.partition(";")[0].strip().lower() in media_types
    ]
    if not found:
        skip(f"it renders no {' or '.join(media_types)}")
    return found


@check(2, "reporter")
def same_view_same_bytes(subject: Subject) -> None:
    """Two reporters render the same view to the same artifacts.

    To fix: use no counter and no random id; iterate over sorted keys.
    """
    for view in (views.normal(), views.several()):
        if _render(subject, view) != _render(subject, view):
            fail("rendering the same view twice gives different bytes")


def _digest(factory: Callable[..., Any], options: Any) -> str:
    artifacts = list(factory(options, PluginContext()).render(views.several()))
    return hashlib.sha256(repr(artifacts).encode()).hexdigest()


@check(2, "reporter")
def every_process_writes_the_same_bytes(subject: Subject) -> None:
    """Another interpreter, in another time zone, renders the same artifacts.

    To fix: sort sets before iterating; show times as in the view, in UTC.
    """
    _render(subject, views.several())
    job = (subject.spec.factory, subject.options)
    if _digest(*job) != _digest(*job):
        skip("see same-view-same-bytes")
    if _digest(*job) != call_in_subprocess(_digest, *job):
        fail("another process renders different bytes for the same view")


@check(2, "reporter")
def reports_read_no_clock(subject: Subject) -> None:
    """The report of an old run does not contain today's date.

    To fix: use `started` and `finished` of the run.
    """
    days = {now.date() for now in (dt.datetime.now(dt.UTC), dt.datetime.now().astimezone())}
    forms = {day.strftime(form) for day in days for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")}
    for text in _texts(_render(subject, views.normal())):
        if found := [form for form in forms if form in text]:
            fail(f"the report contains today's date ({found[0]})")


_RUNS: dict[str, Callable[[], View]] = {
    "a complete run": views.normal,
    "a run with failed points, which have no metrics": views.failed,
    "an interrupted run, whose `finished` is None": views.interrupted,
    "a run without points": views.empty,
    "a view without runs": lambda: views.view(definitions=()),
    "two runs with common names and levels": views.several,
    "points with metrics that were not measured": views.unmeasured,
    "imported points": views.imported,
    "names, notes and errors with markup, control characters and newlines": views.strange,
}


@check(2, "reporter")
def every_run_is_rendered(subject: Subject) -> None:
    """Any run is rendered without an exception: failed, interrupted, without points, imported, with
    metrics that were not measured, with hostile texts. A complete one gives at least one artifact.

    To fix: use ``metrics.get(name)``, no ``results[0]``, no ``max()`` without a default; expect
    None of `finished`, `mean` and `half_width`; identify a run by its `id`; escape texts.
    """
    for what, make in _RUNS.items():
        _check_renders(subject, make(), what)
    if not _render(subject, views.normal()):
        fail("it renders no artifact for a complete run")


@check(2, "reporter")
def unmeasured_values_are_readable(subject: Subject) -> None:
    """Text for people never contains ``None`` or ``nan`` for a value that was not measured.

    To fix: write a dash or blank if a value is None.
    """
    for one in (*_render(subject, views.unmeasured()), *_render(subject, views.imported())):
        if not one.media_type.startswith(("text/", "image/svg+xml")):
            continue
        # Words of a page's own code are not shown.
        text = _CODE.sub("", one.content.decode())
        if found := re.search(r"\b(None|nan|NaN)\b", text):
            fail(f"{one.name or 'the printed text'} contains {found[0]!r}")


class _Asked(FrozenMap[Estimate]):
    """Metrics that note the names they are asked for."""

    names: ClassVar[set[str]] = set()

    def __getitem__(self, key: str) -> Estimate:
        self.names.add(key)
        return super().__getitem__(key)


@check(2, "reporter")
def metrics_exist(subject: Subject) -> None:
    """It reads only metrics that are defined: no result has others.

    To fix: use a name from `bench metrics`.
    """
    _Asked.names.clear()
    runs = [
        attrs.evolve(
            run, results=tuple(attrs.evolve(r, metrics=_Asked(r.metrics)) for r in run.results)
        )
        for run in views.normal().runs
    ]
    _render(subject, views.view(*runs, definitions=DEFINITIONS))
    known = [definition.name for definition in DEFINITIONS]
    for name in sorted(_Asked.names.difference(known)):
        meant = " or ".join(difflib.get_close_matches(str(name), known, n=3))
        fail(f"the metric {name!r} does not exist" + (f"; did you mean {meant}?" if meant else ""))


@check(2, "reporter")
def reporters_print_nothing(subject: Subject) -> None:
    """`render` writes nothing to standard output or standard error: core prints artifacts.

    To fix: return an artifact without a name.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        _render(subject, views.normal())
    if out.getvalue():
        fail(f"render() printed {out.getvalue()[:80]!r}")


@check(2, "reporter")
def artifacts_have_bytes_and_a_type(subject: Subject) -> None:
    """Each artifact has bytes and a media type; an artifact to print (without a name) is UTF-8
    text.

    To fix: ``Artifact(content=text.encode(), media_type="text/csv", name="points.csv")``.
    """
    for one in _render(subject, views.normal()):
        if not isinstance(one, Artifact) or not isinstance(one.content, bytes):
            fail(f"not an Artifact with bytes: {one!r:.80}")
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", one.media_type):
            fail(f"{one.name}: invalid media type {one.media_type!r}")
        if one.name is None and not one.media_type.startswith("text/"):
            fail(f"{one.media_type} cannot be printed: set a name")


@check(2, "reporter")
def artifact_names_stay_inside(subject: Subject) -> None:
    """Names are relative paths without ``..``, also if a run has such a name.

    To fix: use fixed names or run ids, never a user's text.
    """
    for view in (views.normal(), views.strange()):
        for name in (one.name for one in _render(subject, view)):
            if name is None:
                continue
            path, windows = PurePosixPath(name), PureWindowsPath(name)
            outside = path.is_absolute() or windows.anchor or ".." in windows.parts
            if outside or not path.parts or not name.isprintable():
                fail(f"invalid artifact name {name!r}")


@check(2, "reporter")
def artifact_names_are_unique(subject: Subject) -> None:
    """Artifact names are unique, also if two runs have the same name.

    To fix: put the run's `id` into the name.
    """
    names = [one.name for one in _render(subject, views.several()) if one.name is not None]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        fail(f"two artifacts have the name {twice[0]!r}")


@check(2, "reporter")
def pages_are_escaped(subject: Subject) -> None:
    r"""Texts of a run never become markup of a page (HTML, SVG).

    To fix: ``html.escape`` for texts; in embedded JSON write ``<`` as ``\u003c``.
    """
    for text in _of_type(subject, views.strange(), *_MARKUP):
        for mark in (views.SCRIPT, views.IMAGE.partition(">")[2]):
            if mark in text:
                fail(f"a page contains a run's text as markup: {mark}")


@check(2, "reporter")
def printed_text_has_no_control_characters(subject: Subject) -> None:
    """Printed text has no control characters but newlines and tabs, and colours if `color` is True.

    To fix: remove characters of the Unicode category Cc from a run's texts before printing.
    """
    for color in (False, True):
        for one in _render(subject, views.strange(color=color)):
            if one.name is not None:
                continue
            text = one.content.decode()
            text = _COLOR.sub("", text) if color else text
            bad = [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]
            if bad:
                fail(f"printed text contains {bad[0]!r} (color {color})")


@check(2, "reporter")
def tables_keep_their_columns(subject: Subject) -> None:
    r"""In Markdown tables, texts of a run do not add columns or break rows.

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
    """JSON is standard JSON: no NaN or Infinity.

    To fix: ``json.dumps(..., allow_nan=False)``, None for what was not measured.
    """

    def fail_constant(name: str) -> None:
        fail(f"{name} is not JSON")

    for view in (views.normal(), views.unmeasured(), views.strange()):
        for text in _of_type(subject, view, "application/json"):
            try:
                json.loads(text, parse_constant=fail_constant)
            except ValueError as error:
                fail(f"invalid JSON: {error}")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


@check(2, "reporter")
def csv_rows_have_equal_length(subject: Subject) -> None:
    """Every row of a CSV file has as many cells as its header.

    To fix: write it with the csv module, with all columns in every row.
    """
    for view in (views.normal(), views.failed(), views.strange()):
        for text in _of_type(subject, view, "text/csv"):
            rows = list(csv.reader(io.StringIO(text, newline="")))
            if odd := [row for row in rows if len(row) != len(rows[0])]:
                fail(f"a row has {len(odd[0])} cells, the header {len(rows[0])}")


@check(2, "reporter")
def csv_cells_are_not_formulas(subject: Subject) -> None:
    """No cell of a CSV file with a run's text starts like a spreadsheet formula.

    To fix: put a quote (') before a text that starts with ``= + - @``.
    """
    for text in _of_type(subject, views.strange(), "text/csv"):
        for cell in (c for row in csv.reader(io.StringIO(text, newline="")) for c in row):
            if cell.startswith(_FORMULA) and not _is_number(cell):
                fail(f"a spreadsheet would execute {cell[:40]!r}")


@check(2, "reporter")
def invalid_points_are_marked(subject: Subject) -> None:
    """An invalid point is omitted, or shown with the word `invalid`.

    To fix: show `measurement` beside the figures.
    """
    for one in _render(subject, views.invalid()):
        if not one.media_type.startswith(_PRINTED):
            continue
        text = one.content.decode()
        # The sample throughputs times 9,876.5: 12,150,564 and 12,192,539, in any format.
        shown = re.search(r"12[.,_ ]?(150[.,_ ]?56|192[.,_ ]?53)", text)
        if shown and "invalid" not in text.lower():
            fail(f"{one.name or 'the printed text'} shows an invalid point's {shown[0]}...")
