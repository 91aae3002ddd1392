"""The examples of the economics: in docstrings, on their page, and the page's file of rates."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from tokenbench import economics
from tokenbench.economics.rates_file import parse_rates
from tokenbench.suite.yaml_lines import read

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "economics.md"
MODULES = [module.name for module in pkgutil.iter_modules(economics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    """Each prints what it says."""
    module = importlib.import_module(f"tokenbench.economics.{name}")
    assert doctest.testmod(module).failed == 0


def test_most_modules_have_examples() -> None:
    """If doctest found none, the test above would pass."""
    modules = [importlib.import_module(f"tokenbench.economics.{name}") for name in MODULES]
    examples = sum(len(test.examples) for m in modules for test in doctest.DocTestFinder().find(m))
    assert len(MODULES) >= 9 and examples > 12


def test_examples_on_the_page_run() -> None:
    """All of them, in one session."""
    tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried.failed == 0 and tried.attempted > 10


def test_the_file_of_rates_on_the_page_is_read(tmp_path: Path) -> None:
    """With its rates, dates and prices."""
    (text,) = re.findall(r"```yml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "rates.yaml"
    file.write_text(text)
    found = parse_rates(read(file, "file of rates"))
    assert found.rates.usd_per_hour(["h200", "own-chip"], "neocloud").listed() == (1.5, 1.1)
    assert found.rates.all_in_w(["h200", "own-chip"]).listed() == (1400.0, None)
    assert found.prices[0].cached_input == 0.1
    own = found.rates.find("own-chip", "usd_per_hour.neocloud")
    assert own is not None and (own.identity.date, own.source) == ("2026-10", "a quote")


def test_every_formula_on_the_page_names_its_function() -> None:
    """The functions in the table exist."""
    text = PAGE.read_text().partition("## Two bases")[0]
    names = re.findall(r"\| `(?:Curve\.)?(\w+)` \|$", text, re.MULTILINE)
    sources = "\n".join(file.read_text() for file in Path(economics.__path__[0]).glob("*.py"))
    assert len(names) == 9
    for name in names:
        assert f"def {name}(" in sources, name
