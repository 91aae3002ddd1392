"""The page as a file: its data, its policy, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from typing import Any

import attrs
import pytest
from tokenbench_reporter_html import page as module
from tokenbench_reporter_html.page import HtmlReporter, page
from tokenbench_reporter_html.payload import as_json, payload
from tokenbench_reporter_html.plugin import HtmlOptions, bench_register_reporters

from tokenbench.api import Estimate, FrozenMap, Origin, PluginContext, UsageError, View
from tokenbench_testing.samples import views

_ELEMENT = re.compile(r"<(script|style)([^>]*)>(.*?)</\1>", re.DOTALL)


def _data(view: View) -> dict[str, Any]:
    (text,) = [m[3] for m in _ELEMENT.finditer(page(view)) if "application/json" in m[2]]
    found: dict[str, Any] = json.loads(text)
    return found


def _column(data: dict[str, Any], reference: int | None) -> Any:
    return None if reference is None else data["arrays"][reference]


def test_numbers_are_rounded_and_none_stays_none() -> None:
    """5 significant digits; half-widths relative; what was not measured is null, and 0 is 0."""
    name = "ttft_s.p50"
    estimates = (
        Estimate(mean=0.123456789, half_width=0.0123456, values=()),
        Estimate(mean=None, half_width=None, values=()),
        Estimate(mean=0.0, half_width=0.1, values=()),
        Estimate(mean=float("inf"), half_width=None, values=()),
    )
    points = [views.point(n, metrics=FrozenMap({name: e})) for n, e in enumerate(estimates, 1)]
    data = _data(views.view(views.run(*points)))
    assert _column(data, data["metrics"][name]["v"]) == [0.12346, None, 0, None]
    assert _column(data, data["metrics"][name]["w"]) == [0.1, None, None, None]
    assert "tpot_s.p50" not in data["metrics"]


def test_equal_columns_and_texts_are_stored_once() -> None:
    """5,000 points have a few engines."""
    data = _data(views.normal())
    words = data["facts"]["words"]
    assert words["run"] == words["model"] or data["texts"].count("engine-a") == 1
    assert len({json.dumps(one) for one in data["arrays"]}) == len(data["arrays"])
    assert [data["texts"][i] for i in _column(data, words["engine"])] == ["engine-a"] * 3


def test_facts_of_an_imported_disaggregated_point() -> None:
    """Where it comes from, its roles, its speculation and notes."""
    origin = Origin(format="f", files=("a.csv",), row=7, url="u", fields=FrozenMap(x=1, y=None))
    point = views.point(
        roles=FrozenMap(prefill=4, decode=8), speculation="mtp", notes=("odd",), origin=origin
    )
    data = _data(views.view(views.run(point)))
    (details,) = data["details"]
    assert details["origin"] == "f: a.csv, row 7"
    assert details["fields"] == {"x": "1"}
    assert details["roles"] == {"prefill": 4, "decode": 8}
    assert details["notes"] == ["odd"]
    (at,) = _column(data, data["facts"]["words"]["disaggregation"])
    assert data["texts"][at] == "disaggregated"


def test_the_policy_allows_only_what_is_embedded() -> None:
    """By hash; no network, no forms, no other base."""
    text = page(views.normal())
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert match is not None
    policy = dict(rule.split(" ", 1) for rule in unescape(match[1]).split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["img-src"] == "data:"
    found = {"script": set(), "style": set()}
    for element, attributes, content in _ELEMENT.findall(text):
        if "json" not in attributes:
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            found[element].add(f"'sha256-{digest}'")
    assert set(policy["script-src"].split()) == found["script"]
    assert set(policy["style-src"].split()) == found["style"]


def test_own_scripts_make_no_markup_of_text() -> None:
    """No innerHTML and the like, and nothing that runs text as code."""
    own = module._own()
    makers = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    senders = ("Function(", "fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon")
    assert not [word for word in (*makers, *senders) if word in own]
    addresses = set(re.findall(r"[a-z]+://[^\s\"`]*", own))
    assert {one for one in addresses if not one.startswith("path://")} == {
        "http://www.w3.org/2000/svg"
    }


def test_data_cannot_leave_its_element() -> None:
    """`<`, `>` and `&` are escaped, and the page has the three scripts that it should have."""
    text = as_json({"x": "</script><!--<script>&amp;\u2028\ud800"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["x"].startswith("</script>")
    hostile = attrs.evolve(views.strange().runs[0], name="</title><script>x</script> \ud800")
    shown = page(views.view(hostile))
    assert len(re.findall(r"<script", shown)) == 3
    assert "&lt;/title&gt;" in shown
    shown.encode()


def test_without_costs_there_are_no_rates() -> None:
    """A view of core without economics, as the conformance kit gives it."""
    found = payload(views.normal(), "t")
    assert found["rates"] == [] and found["prices"] == []


def test_options() -> None:
    """The file's name and the title; a path is refused."""
    (spec,) = bench_register_reporters()
    assert spec.economics
    reporter = spec.factory(HtmlOptions(file="mine.html", title="Q & A"), PluginContext())
    (artifact,) = reporter.render(views.normal())
    assert artifact.name == "mine.html" and b"<h1>Q &amp; A</h1>" in artifact.content
    for wrong in ("../up.html", "", "a/b", "x\n"):
        with pytest.raises(UsageError, match="file"):
            HtmlReporter(file=wrong, title="")


def test_a_damaged_chart_library_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded file must be the one that was built, with its version and licences."""
    versions = json.loads(module._read("vendor", "versions.json"))
    licences = module._read("vendor", "LICENSES.txt")
    for name in ("echarts", "zrender", "tslib"):
        assert versions[name] in licences
    read = module._read.__wrapped__
    damaged = lambda *parts: read(*parts) + (" " if parts[-1].endswith("min.js") else "")  # noqa: E731
    monkeypatch.setattr(module, "_read", damaged)
    with pytest.raises(UsageError, match="chart library"):
        module._library.__wrapped__()
