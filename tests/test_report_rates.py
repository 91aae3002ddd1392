"""``bench report --rates``: a user's own rates in a report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import read_results

if TYPE_CHECKING:
    from tests_bench import Done

DATA = Path(__file__).resolve().parent.parent / "core" / "tests" / "imports" / "data"
MINE = """\
name: my contract
date: 2026-11-30
source: an invoice
rates:
  h200:
    usd_per_hour: {neocloud: 1.23}
    all_in_w: 1400
prices:
- {provider: me, model: some-model, input: 0.5, cached_input: 0.1, output: 2}
"""


@pytest.fixture
def run_of_h200(cli: Callable[..., Done]) -> str:
    """A run directory of an imported result on 8 H200."""
    (file,) = DATA.glob("aiperf-*.json")
    facts = ("hardware=h200", "accelerators=8", "engine=vllm", "layout=tp8")
    done = cli("import", "results", str(file), *(w for fact in facts for w in ("--set", fact)))
    assert done.code == 0, done.err
    (folder,) = Path("runs").iterdir()
    return str(folder)


def _data(run: str) -> dict[str, Any]:
    text = (Path(run) / "reports" / "report.html").read_text()
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    return found


def test_own_rates_and_prices_are_in_the_report(cli: Callable[..., Done], run_of_h200: str) -> None:
    """First of all sets, with the identity of the file; prices for the calculator."""
    Path("mine.yaml").write_text(MINE)
    done = cli("report", run_of_h200, "--reporter", "html", "--rates", "mine.yaml")
    assert done.code == 0, done.err
    data = _data(run_of_h200)
    own = [one for one in data["rates"] if one["name"] == "mine.yaml"]
    assert data["rates"][0]["name"] == "mine.yaml"
    (neocloud,) = [one for one in own if one["ownership"] == "neocloud"]
    assert neocloud["usd"] == {"h200": 1.23} and neocloud["watts"] == {"h200": 1400.0}
    assert any(text.startswith("my contract, sha256:") for text in neocloud["identities"])
    (price,) = data["prices"]
    assert (price["provider"], price["cached"]) == ("me", 0.1)


def test_without_own_rates_the_catalogues_sets_are_offered(
    cli: Callable[..., Done], run_of_h200: str
) -> None:
    """With costs of the point, derived from its throughput."""
    assert cli("report", run_of_h200, "--reporter", "html").code == 0
    data = _data(run_of_h200)
    assert data["rates"][0]["usd"]["h200"] > 0
    columns = data["rates"][0]["columns"]
    value = data["arrays"][columns["usd_per_million_output_tokens.whole"]["v"]][0]
    speed = data["arrays"][data["metrics"]["output_tok_s_per_accelerator.whole"]["v"]][0]
    assert value * speed * 0.0036 == pytest.approx(data["rates"][0]["usd"]["h200"], rel=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n", "mine.yaml:1"),
        (MINE.replace("1.23", "'free'"), "mine.yaml:6: rates.h200.usd_per_hour.neocloud"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(
    cli: Callable[..., Done], run_of_h200: str, text: str, message: str
) -> None:
    """As a suite file is."""
    Path("mine.yaml").write_text(text)
    done = cli("report", run_of_h200, "--reporter", "html", "--rates", "mine.yaml")
    assert done.code == 2
    assert message in done.err and "hint:" in done.err


def test_rates_without_a_reporter_of_costs_are_refused(
    cli: Callable[..., Done], run_of_h200: str
) -> None:
    """They would have no effect."""
    Path("mine.yaml").write_text(MINE)
    done = cli("report", run_of_h200, "--reporter", "inferencex", "--rates", "mine.yaml")
    assert done.code == 2
    assert "no reporter shows costs" in done.err


@pytest.mark.parametrize("reporter", ["console", "markdown:output=-", "files:formats=csv"])
def test_own_rates_are_in_every_report(
    cli: Callable[..., Done], run_of_h200: str, reporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of the user's rate, with the identity of the file beside it."""
    monkeypatch.setenv("COLUMNS", "200")  # A narrow terminal has fewer columns.
    Path("mine.yaml").write_text(MINE.replace("{neocloud: 1.23}", "{hyperscaler: 1.23}"))
    done = cli("report", run_of_h200, "--reporter", reporter, "--rates", "mine.yaml")
    assert done.code == 0, done.err
    table = Path(run_of_h200) / "reports" / "results.csv"
    text = table.read_text() if "files" in reporter else done.out
    assert re.search(r"mine\.yaml, hyperscaler", text) and "my contract" in text
    speed = read_results(RunDirectory.open(Path(run_of_h200)).results)[0].metrics[
        "total_tok_s_per_accelerator.whole"
    ]
    assert speed.mean is not None
    assert f"{1.23 / (speed.mean * 0.0036):.3f}"[:5] in text
