"""`bench cost`: series at equal interactivity, on published rows and with a user's prices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests_bench import Done

Cli = Callable[..., "Done"]
HEADER = "hardware,framework,model,precision,spec_method,disagg,decode_tp,decode_ep,isl,osl,conc,"
# Of a dear chip and a cheap one: interactivity 50 and 100 tok/s/user, with throughputs per GPU.
LINES = (
    ("h200", 8, 1000.0, 0.020),
    ("h200", 2, 400.0, 0.010),
    ("mi355x", 8, 1200.0, 0.020),
    ("mi355x", 2, 300.0, 0.010),
)
MINE = """\
name: my contract
date: 2026-11-30
source: an invoice
rates:
  h200: {usd_per_hour: {neocloud: 3.6}, all_in_w: 1000}
  mi355x: {usd_per_hour: {neocloud: 1.8}, all_in_w: 2000}
prices:
- {provider: me, model: dsr1, input: 0.5, cached_input: 0.1, output: 2}
"""


@pytest.fixture
def run(cli: Cli) -> str:
    """A run directory of four imported rows, 3/4 of whose tokens are input; and rates."""
    rows = [
        f"{chip},sglang,dsr1,fp8,none,false,8,1,8192,1024,{load},{speed},{speed * 3 / 4},"
        f"{speed / 4},{1 / tpot},{tpot}"
        for chip, load, speed, tpot in LINES
    ]
    names = "tput_per_gpu,input_tput_per_gpu,output_tput_per_gpu,median_intvty,median_tpot"
    Path("rows.csv").write_text("\n".join([HEADER + names, *rows]) + "\n")
    Path("mine.yaml").write_text(MINE)
    assert cli("import", "results", "rows.csv").code == 0
    (folder,) = Path("runs").iterdir()
    return str(folder)


def _rows(done: Done) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["rows"]
    return found


def test_figures_by_hand(cli: Cli, run: str) -> None:
    """At 50 tok/s/user: cost, price of a tier twice as fast, revenue, margins and fleet."""
    options = ("--faster", "100", "--mw", "1", "--hits", "50", "--json")
    rows = _rows(
        cli("cost", run, "--at", "50", "--rates", "mine.yaml", "--provider", "me", *options)
    )
    chip = next(row for row in rows if "h200" in row["series"])
    values = {name: figure["value"] for name, figure in chip["figures"].items()}
    revenue = 0.0036 * 1000 * (0.75 * (0.5 * 0.5 + 0.5 * 0.1) + 0.25 * 2)
    expected = {
        "throughput": 1000,
        "total": 3.6 / 3.6,
        "input": 3.6 / (0.0036 * 750),
        "output": 3.6 / (0.0036 * 250),
        "faster": 1000 / 400,
        "revenue": revenue,
        "margin": 1 - 3.6 / revenue,
        "margin_input": 1 - 3.6 / (0.0036 * 750) / 0.5,
        "margin_output": 1 - 3.6 / (0.0036 * 250) / 2,
        "accelerators": 1000,
        "cost_month": 3.6 * 1000 * 730,
        "revenue_month": revenue * 1000 * 730,
    }
    assert values == {name: pytest.approx(value) for name, value in expected.items()}
    assert any(rate.startswith("my contract, sha256:") for rate in chip["rates"])


def test_the_cheapest_is_first(cli: Cli, run: str) -> None:
    """In the middle, too, where no point was measured; unknown figures are dashes, with a hint."""
    done = cli("cost", run, "--at", "50,75,200", "--rates", "mine.yaml")
    assert done.code == 0, done.err
    blocks = done.out.split("\n\n")
    assert [line.split()[1] for line in blocks[0].splitlines()[2:]] == ["mi355x", "h200"]
    assert blocks[1].startswith("at 75 tok/s/user")
    middle = blocks[1].splitlines()[2].split()
    assert middle[1] == "mi355x" and float(middle[3]) == pytest.approx((1200 + 300) / 2)
    assert "outside of what was measured: 50 to 100 tok/s/user" in blocks[2]
    assert blocks[2].splitlines()[2].split()[3:7] == ["-"] * 4
    assert "my contract" in blocks[-1] and "never added" in blocks[-1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--at", "fast"), "expected numbers above 0"),
        (("--at", "50", "--by", "colour"), "--by colour: not a field"),
        (("--at", "50", "--where", "precision"), "expected FIELD=VALUE"),
        (("--at", "50", "--where", "precision=fp4"), "no usable point is left"),
        (("--at", "50", "--mw", "nan"), "'--mw': nan is not a finite number"),
        (("--at", "50", "--faster", "inf"), "'--faster': inf is not a finite number"),
        (("--at", "50", "--hits", "nan"), "'--hits': nan is not a finite number"),
        (("--at", "50", "--provider", "me"), "--provider needs a file of prices"),
        (("--at", "50", "--rates", "mine.yaml", "--provider", "you"), "no prices of provider"),
    ],
)
def test_mistakes(cli: Cli, run: str, args: tuple[str, ...], message: str) -> None:
    """Two lines, exit code 2."""
    done = cli("cost", run, *args)
    assert done.code == 2 and message in done.err and "hint:" in done.err


def test_published_rows_name_the_cheapest_hardware(
    cli: Cli, shared_data: Callable[[str], Path]
) -> None:
    """Which hardware is cheapest at 35, 60 and 120 tok/s/user, 8k/1k? Sorted by cost; hardware that
    was not measured there has none.
    """
    rows = str(shared_data("inferencex/dsr1_latest_2026-06-14.csv"))
    assert cli("import", "results", rows).code == 0
    (folder,) = Path("runs").iterdir()
    found = cli("cost", str(folder), "--at", "35,60,120", "--where", "input_tokens=8192")
    assert found.code == 0, found.err
    blocks = found.out.split("\n\n")[:3]
    for block in blocks:
        lines = [line.split() for line in block.splitlines()[2:]]
        costs = [float(cells[4]) for cells in lines if cells[4] != "-"]
        assert costs == sorted(costs) and 3 <= len(costs) <= len(lines)
        print(block.splitlines()[0], lines[0][:5])


def test_an_import_renders_its_report_at_once(cli: Cli, run: str) -> None:
    """One command from a file of results to a page; a wrong reporter is refused."""
    done = cli("import", "results", "rows.csv", "--reporter", "html:title=Rows", "--runs", "other")
    assert done.code == 0, done.err
    (page,) = Path("other").glob("*/reports/report.html")
    assert "<title>Rows</title>" in page.read_text() and str(page) in done.err
    wrong = cli("import", "results", "rows.csv", "--reporter", "htm")
    assert wrong.code == 2 and "did you mean" in wrong.err
