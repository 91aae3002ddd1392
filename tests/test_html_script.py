"""The page's scripts, as text: what can be checked without a browser (`make browser` runs them)."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from pygments.lexers.javascript import JavascriptLexer
from pygments.token import Comment, Error, Literal, Name, Punctuation
from tokenbench_reporter_html.page import SCRIPTS
from tokenbench_reporter_html.payload import METRICS, payload

from tokenbench.economics.definitions import COSTS, SPEED_OF_LIGHT
from tokenbench.measure.definitions import BY_NAME
from tokenbench_testing.samples import views

ASSETS = resources.files("tokenbench_reporter_html").joinpath("assets")
NOT_CALLS = (".", "?.", "function", "get")
PAIRS = {")": "(", "]": "[", "}": "{"}
# What scripts call that is the browser's, the language's or the chart library's.
GIVEN = {
    "addEventListener",
    "matchMedia",
    "setTimeout",
    "clearTimeout",
    "getComputedStyle",
    "structuredClone",
    "requestAnimationFrame",
    "String",
    "Number",
    "Boolean",
    "Array",
    "Map",
    "Set",
    "Date",
    "URLSearchParams",
    "ResizeObserver",
    "super",
    "if",
    "for",
    "while",
    "switch",
    "return",
    "catch",
    "function",
    "await",
    "typeof",
    "isNaN",
    "of",
    "in",
    "new",
}


def _source(name: str) -> str:
    return ASSETS.joinpath("js", f"{name}.js").read_text("utf-8")


def _tokens(text: str) -> list[tuple[object, str]]:
    """Without comments and texts; code inside of template literals is kept."""
    skipped = (Comment, Literal.String, Literal.Number)
    found = JavascriptLexer().get_tokens(text)
    return [(kind, value) for kind, value in found if not any(kind in one for one in skipped)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_brackets_are_closed(name: str) -> None:
    """Every script is made of JavaScript's tokens, and closes what it opens."""
    opened: list[str] = []
    for kind, value in JavascriptLexer().get_tokens(_source(name)):
        assert kind is not Error, value
        # `${` and `}` of a template literal.
        opener = value == "${" and kind in Literal.String.Interpol
        closer = value == "}" and kind in Literal.String.Interpol
        for character in "{" if opener else "}" if closer else value * (kind is Punctuation):
            if character in PAIRS.values():
                opened.append(character)
            elif character in PAIRS:
                assert opened and opened.pop() == PAIRS[character]
    assert opened == []


def test_every_script_is_in_the_page() -> None:
    """The list is that of the folder."""
    files = {file.name for file in ASSETS.joinpath("js").iterdir()}
    assert files == {f"{name}.js" for name in SCRIPTS}


def test_every_name_that_is_called_is_defined() -> None:
    """In some script, as a function, a constant or a parameter. Methods are not checked."""
    text = "\n".join(map(_source, SCRIPTS))
    defined = set(re.findall(r"(?:function|const|let)\s+([A-Za-z_$][\w$]*)", text))
    defined |= set(re.findall(r"[\[{(,]\s*([A-Za-z_$][\w$]*)\s*(?=[,\]}=)])", text))
    defined |= set(re.findall(r"([A-Za-z_$][\w$]*)\s*=>", text))
    tokens = [(kind, value) for kind, value in _tokens(text) if value.strip()]
    called = {
        value
        for before, (kind, value), after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if kind in Name and after[1].startswith("(") and before[1] not in NOT_CALLS
    }
    assert len(called) > 100
    assert called - defined - GIVEN == set()


def test_every_element_exists() -> None:
    """An id that a script looks up is in the page, or another script makes it."""
    text = "\n".join(map(_source, SCRIPTS))
    wanted = set(re.findall(r'byId\("([^"]+)"\)', text))
    made = set(re.findall(r'\bid: "([^"]+)"', text))
    page = set(re.findall(r'\bid="([^"]+)"', ASSETS.joinpath("page.html").read_text("utf-8")))
    assert len(wanted) > 10
    assert wanted - made - page == set()


def test_every_page_has_a_panel_and_a_renderer() -> None:
    """The pages of the report are named in three places."""
    tabs = re.search(r"const TABS = \[(.*?)\n\];", _source("state"), re.DOTALL)
    render = re.search(r"const RENDER = \{(.*?)\n\};", _source("main"), re.DOTALL)
    assert tabs is not None and render is not None
    names = re.findall(r'\["(\w+)",', tabs[1])
    assert re.findall(r"^  (\w+):", render[1], re.MULTILINE) == names
    page = ASSETS.joinpath("page.html").read_text("utf-8")
    assert re.findall(r'id="panel-(\w+)"', page) == names
    text = "\n".join(map(_source, SCRIPTS))
    assert set(re.findall(r"\brender[A-Z]\w*", render[1])) <= set(
        re.findall(r"function (\w+)", text)
    )


def test_every_metric_of_a_script_is_in_the_data() -> None:
    """Names of metrics are texts in the scripts: each is one that the page gets, or a set of rates
    has; and each that the page gets is defined.
    """
    text = _source("measures") + _source("calculator") + _source("data")
    parts = re.findall(r'(?:windowed|statistic|single|columnOf)\("([\w.]+)"', text)
    assert len(parts) > 20
    known = {*METRICS, *(one.name for one in COSTS)}
    for part in parts:
        assert any(name == part or name.startswith(f"{part}.") for name in known), part
    assert set(METRICS) <= {*BY_NAME, *(one.name for one in SPEED_OF_LIGHT)}


def test_every_part_of_the_data_is_read() -> None:
    """A key that no script reads, or reads and nobody writes, is a fault."""
    text = "\n".join(map(_source, SCRIPTS))
    read = set(re.findall(r"\bDATA\.(\w+)", text))
    assert read == set(payload(views.normal(), "title")) - {"schema", "title"}
