"""The page: one file, no network. A policy in its head allows only the scripts and styles that were
embedded here, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import PurePath
from string import Template

from tokenbench.api import Artifact, Reporter, UsageError, View

from .payload import as_json, payload

SCRIPTS = (
    "data",
    "economics",
    "frontier",
    "measures",
    "state",
    "dom",
    "series",
    "chart",
    "controls",
    "details",
    "table",
    "calculator",
    "composition",
    "methods",
    "main",
)
"""Our own scripts, in their order; they share one scope."""


class HtmlReporter(Reporter):
    """Renders all runs of a view into one page."""

    def __init__(self, *, file: str, title: str) -> None:
        if PurePath(file).name != file or not file.isprintable() or not file.strip():
            raise UsageError(f"file: {file!r} is not a file name", hint="for example report.html")
        self._file, self._title = file, title

    def render(self, view: View) -> Iterable[Artifact]:
        """One artifact."""
        yield Artifact(
            content=page(view, self._title).encode(),
            media_type="text/html; charset=utf-8",
            name=self._file,
        )


def page(view: View, title: str = "") -> str:
    """The page's text."""
    shown = title or ", ".join(dict.fromkeys(run.name for run in view.runs)) or "no run"
    library, own, style = _library(), _own(), _read("assets", "page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(library)} {_hash(own)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return Template(_read("assets", "page.html")).substitute(
        policy=html.escape(policy),
        # Half a character, as in a path that is not UTF-8, has no encoding.
        title=html.escape(shown.encode(errors="replace").decode()),
        style=style,
        library=library,
        own=own,
        data=as_json(payload(view, shown)),
    )


@cache
def _own() -> str:
    scripts = [_read("assets", "js", f"{name}.js") for name in SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(scripts) + "\n})();"


@cache
def _library() -> str:
    """The chart library, with its name and licences.

    Raises:
        UsageError: the file is not the one that `vendor/build.sh` made.
    """
    versions = json.loads(_read("vendor", "versions.json"))
    code = _read("vendor", "echarts.min.js")
    if hashlib.sha256(code.encode()).hexdigest() != versions["sha256"]:
        raise UsageError(
            "the chart library in tokenbench-reporter-html is damaged",
            hint="install the package again",
        )
    notice = (
        f"/*! Apache ECharts {versions['echarts']} (Apache-2.0), zrender {versions['zrender']} "
        f"(BSD-3-Clause), tslib {versions['tslib']} (0BSD): custom build, see LICENSES.txt of "
        "tokenbench-reporter-html. */\n"
    )
    return notice + code


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def _read(*parts: str) -> str:
    return resources.files(__package__).joinpath(*parts).read_text("utf-8")
