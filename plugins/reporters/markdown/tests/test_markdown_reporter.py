"""The Markdown summary, as a Markdown parser reads it."""

from __future__ import annotations

import re

import attrs
import pytest
from markdown_it import MarkdownIt
from tokenbench_reporter_markdown.plugin import MarkdownOptions, bench_register_reporters
from tokenbench_reporter_markdown.text import escape

from tokenbench.api import (
    Accuracy,
    Artifact,
    Estimate,
    FrozenMap,
    Measurement,
    PluginContext,
    UsageError,
    View,
)
from tokenbench_testing.samples import views


def _artifact(view: View, **options: object) -> Artifact:
    (spec,) = bench_register_reporters()
    (artifact,) = spec.factory(MarkdownOptions(**options), PluginContext()).render(view)
    return artifact


def _page(view: View, **options: object) -> str:
    """The summary as HTML."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    return parser.render(_artifact(view, **options).content.decode())


def _rows(page: str) -> list[list[str]]:
    """The cells of all body rows."""
    rows = [
        re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"(?s)<tr>.*?</tr>", page)
    ]
    return [row for row in rows if row]


def test_a_series_is_a_table() -> None:
    """Load, values with units and intervals, verdict and accuracy; evals in their own table."""
    page = _page(views.normal())
    rows = _rows(page)
    assert [row[0] for row in rows[:3]] == [
        "c1",
        "c4",
        views.normal().runs[0].results[2].level.label,
    ]
    assert rows[1][1:] == [
        *("1,230.2 ± 12.3", "50 ± 1", "125 ± 1", "10.50 ± 0.11", "95.2 ± 1.0"),
        "certified, accuracy pass",
    ]
    assert rows[3][0] == "sums" and rows[3][2:5] == ["0.750", "0.600 to 0.860", "40"]
    assert '<th style="text-align:right">TTFT p50, ms</th>' in page
    assert "<h3>model-a bf16 on engine-a (1.2.3), 2 x chip-a, tp2</h3>" in page
    assert "3 points (3 certified)" in page and "<li>note: a note</li>" in page


def test_each_series_has_its_own_table() -> None:
    """Two settings of one layout are two tables; a metric that no point has gets no column."""
    first = views.point(1)
    other = attrs.evolve(first, deployment="other", metrics=FrozenMap())
    page = _page(views.view(views.run(first, other, evals=())))
    assert page.count("<table>") == 2
    assert [len(row) for row in _rows(page)] == [7, 2]


def test_layouts_of_a_series_share_a_table() -> None:
    """With a column that names them; in the heading is what they have in common."""
    first = views.point(1)
    other = views.point(1, deployment="other", layout="tp4", accelerators=4, speculation="mtp")
    wide = attrs.evolve(first, deployment="wide", layout="tp4", accelerators=4, notes=("slow",))
    page = _page(views.view(views.run(first, other, wide, evals=())))
    assert page.count("<table>") == 2
    assert [row[:2] for row in _rows(page)[:2]] == [["2 x tp2", "c1"], ["4 x tp4", "c1"]]
    assert "<h3>model-a bf16 on engine-a (1.2.3), chip-a</h3>" in page
    assert "<h3>model-a bf16 on engine-a (1.2.3), 4 x chip-a, tp4, mtp</h3>" in page
    assert "<li>4 x tp4 c1: slow</li>" in page


def test_whole_window_where_there_is_no_steady_state() -> None:
    """The column shows one window for the whole series; unmeasured is a dash, zero is zero."""
    whole = {"output_tok_s.whole": Estimate(mean=0.0, half_width=None, values=(0.0,))}
    points = [views.point(n, None, metrics=FrozenMap(m)) for n, m in ((1, whole), (2, {}))]
    assert [row[1] for row in _rows(_page(views.view(views.run(*points, evals=()))))] == [
        "0.0",
        "-",
    ]


def test_hidden_points_are_named() -> None:
    """Invalid points and those with failed accuracy are named; `all` shows them."""
    bad = views.point(8, measurement=Measurement.INVALID)
    wrong = views.point(16, accuracy=Accuracy.FAIL)
    view = views.view(views.run(views.point(), bad, wrong, evals=()))
    page = _page(view)
    assert "not shown: c8 (invalid), c16 (accuracy failed)" in page
    assert len(_rows(page)) == 1
    assert len(_rows(_page(view, all=True))) == 3


def test_checks_and_failures_are_listed() -> None:
    """The evidence of failed checks, and the error of a run."""
    assert "c4: invalid: lengths: 98 % too short" in _page(views.invalid())
    assert "<strong>The run is not complete:</strong> the engine exited" in _page(views.failed())


def test_texts_of_a_run_are_no_markup() -> None:
    """Neither HTML nor Markdown of a run is rendered; the text itself is still readable."""
    page = _page(views.strange(), title="<b>x</b> [y](z)")
    tags = set(re.findall(r"<(/?[a-z0-9]+)", page))
    assert {t.strip("/") for t in tags} <= {
        *("h2", "h3", "p", "strong", "ul", "li"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert "&lt;script&gt;alert('kit')&lt;/script&gt;" in page
    assert "&lt;b&gt;x&lt;/b&gt; [y](z)" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)


@pytest.mark.parametrize(
    "text",
    ["*a* _b_ `c` ~~d~~", "a|b", "![x](y)", "# no heading", "\\| a", "$x$", "<!-- -->", "&amp;"],
)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    """The page shows the characters of the text."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"x {escape(text)}")
    shown = re.sub(r"</?p>\n?", "", page)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    assert shown == f"x {text}"


def test_a_name_mentions_nobody() -> None:
    """GitHub notifies a user or team whose name follows an ``@`` directly."""
    assert "@org" not in escape("@org/team")


def test_where_the_summary_goes() -> None:
    """A file of the report folder, or standard output."""
    assert _artifact(views.normal(), output="pr.md").name == "pr.md"
    assert _artifact(views.normal(), output="-").name is None
    with pytest.raises(UsageError, match="expected the name of a file"):
        _artifact(views.normal(), output="a/b.md")
