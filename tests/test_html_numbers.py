"""The numbers that the HTML report computes in the browser are those of tokenbench.economics."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import html_points
import numpy as np
import pytest
from browser_page import Opened, chromium
from tokenbench_reporter_html.page import page

from tokenbench.api import PointResult
from tokenbench.economics.column import from_estimates, measured
from tokenbench.economics.cost import blended_margin, per_month, revenue_per_hour
from tokenbench.economics.cost import usd_per_million_tokens as usd_per_million
from tokenbench.economics.curve import Curve, frontier_curve
from tokenbench.economics.frontier import on_frontier
from tokenbench.economics.power import fleet
from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import read_results

if TYPE_CHECKING:
    from tests_bench import Done

pytestmark = pytest.mark.browser
DASH = "\N{EN DASH}"
ROWS = "inferencex/dsr1_latest_2026-06-14.csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def opened(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A report of few points, for its functions."""
    file = tmp_path_factory.mktemp("numbers") / "report.html"
    file.write_bytes(page(html_points.generated(90)).encode())
    report = Opened(browser, file)
    yield report
    report.close()


def _knots(draw: random.Random) -> list[dict[str, float | None]]:
    """Points with equal coordinates, missing ones and missing intervals among them."""
    return [
        {
            "x": draw.choice((None, *(float(n) for n in range(1, 30)))),
            "y": draw.choice((None, *(n / 4 for n in range(1, 60)))),
            "hx": draw.choice((None, 0.5, 0.25, 1.0)),
            "hy": draw.choice((0.1, 0.5, 1.5)),
        }
        for _ in range(draw.randrange(14))
    ]


def _column(points: list[dict[str, float | None]], value: str, half: str) -> Any:
    return measured([p[value] for p in points], "", [p[half] for p in points])


@pytest.mark.parametrize("seed", range(4))
def test_frontiers_are_the_same(opened: Opened, seed: int) -> None:
    """In all four pairs of directions, with ties, duplicates and unknown coordinates."""
    draw = random.Random(seed)
    for points in (_knots(draw) for _ in range(25)):
        xs, ys = (np.array([p[axis] for p in points], dtype=float) for axis in ("x", "y"))
        for x_sign, y_sign in itertools.product((1, -1), repeat=2):
            kept = on_frontier(x_sign * xs, y_sign * ys)
            call = "([p, x, y]) => tokenbenchReport.curve.frontierOf(p, x, y)"
            found = opened.page.evaluate(call, [points, x_sign, y_sign])
            assert sorted(found) == np.flatnonzero(kept).tolist() if points else not found


@pytest.mark.parametrize("seed", range(4))
def test_curves_are_the_same(opened: Opened, seed: int) -> None:
    """Values, half-widths and price of a faster tier, at and between knots and outside of them."""
    draw = random.Random(100 + seed)
    for points in (_knots(draw) for _ in range(25)):
        curve = frontier_curve(_column(points, "x", "hx"), _column(points, "y", "hy"))
        targets = [draw.uniform(0, 31) for _ in range(4)] + curve.x.values.tolist()[:3]
        expected = curve.at(targets) if points else None
        ratios = curve.faster_tier_price(targets, [t * 1.5 for t in targets]) if points else None
        found = opened.page.evaluate(
            """([points, targets]) => {
              const { knotsOf, curveAt, fasterTierRatio } = tokenbenchReport.curve;
              const knots = knotsOf(points);
              return targets.map((x) => [curveAt(knots, x), fasterTierRatio(knots, x, x * 1.5)]);
            }""",
            [points, targets],
        )
        for at, (value, ratio) in enumerate(found):
            _same(value, expected, at)
            _same(ratio, ratios, at, with_half=len(curve.x) > 1)


def _same(found: dict[str, Any], column: Any, at: int, *, with_half: bool = True) -> None:
    value = None if column is None else column.listed()[at]
    half = None if column is None else column.listed_half_widths()[at]
    assert (found["value"] is None) == (value is None)
    if value is not None:
        assert found["value"] == pytest.approx(value, rel=1e-9)
        if with_half:
            assert (
                found["half"] == pytest.approx(half, rel=1e-3, abs=1e-6)
                if half
                else not found["half"]
            )


def test_costs_and_revenue_are_the_same(opened: Opened) -> None:
    """Also where something is not known: never 0."""
    draw = random.Random(5)
    some = lambda *values: draw.choice((None, *values))  # noqa: E731
    for _ in range(200):
        speed, usd, watts = some(0.0, 812.5, 4000.0), some(1.3, 2.9), some(1710.0, 2120.0)
        share, hit, budget = some(0.0, 0.5, 0.9), some(0.0, 0.4), some(0.57, 1.0, 12.0)
        prices = {"input": some(0.5), "cached": some(0.05), "output": some(2.0, 3.5)}
        found = opened.page.evaluate(
            """([speed, usd, watts, share, hit, budget, prices]) => {
              const e = tokenbenchReport.economics;
              const revenue = e.revenuePerHour(speed, share, hit, prices);
              const count = e.fleetSize(budget, watts);
              return [e.costPerMillion(usd, speed), revenue, e.marginShare(usd, revenue), count,
                      e.perMonth(usd, count)];
            }""",
            [speed, usd, watts, share, hit, budget, prices],
        )
        revenue = revenue_per_hour(
            speed,
            input_share=share,
            hit_share=hit,
            input_price=prices["input"],
            output_price=prices["output"],
            cached_input_price=prices["cached"],
        )
        count = fleet(budget, watts)
        columns = (
            usd_per_million(speed, usd),
            revenue,
            blended_margin(usd, revenue),
            count,
            per_month(usd, count),
        )
        expected = [column.listed()[0] for column in columns]
        assert found == [None if v is None else pytest.approx(v, rel=1e-12) for v in expected]


def _curve(results: list[PointResult], kind: str) -> tuple[Curve, Curve]:
    """The frontier's curve of total throughput, and that of another throughput beside it."""

    def column(name: str) -> Any:
        return from_estimates([result.metrics.get(name) for result in results], "")

    total = frontier_curve(
        column("interactivity_tok_s.p50"), column("total_tok_s_per_accelerator.whole")
    )
    return total, total.carrying(column(f"{kind}_tok_s_per_accelerator.whole"), "")


@pytest.mark.parametrize("interactivity", [35, 60, 120])
@pytest.mark.parametrize("precision", ["fp4", "fp8"])
def test_the_calculator_names_the_cheapest_hardware_of_published_rows(
    browser: Any,
    cli: Callable[..., Done],
    shared_data: Callable[[str], Path],
    interactivity: int,
    precision: str,
) -> None:
    """Of 435 published rows, 8,192 tokens in and 1,024 out: order and costs as computed here."""
    assert cli("import", "results", str(shared_data(ROWS))).code == 0
    (folder,) = Path("runs").iterdir()
    assert cli("report", str(folder), "--reporter", "html").code == 0
    file = (folder / "reports" / "report.html").resolve()
    workload = "random (input_range=0.8, input_tokens=8192, output_range=0.8, output_tokens=1024)"
    report = Opened(
        browser,
        file,
        urlencode(
            {
                "tab": "calculator",
                "by": "hardware,precision",
                "only.precision": precision,
                "only.workload": workload,
                "at": interactivity,
            }
        ),
    )
    rates = report.page.evaluate("JSON.parse(document.getElementById('data').textContent).rates[0]")
    rows = [
        row.split("\t")
        for row in report.page.locator("#panel-calculator table >> nth=0")
        .locator("tbody tr")
        .all_inner_texts()
    ]
    found = {row[0].strip().split(" · ")[0]: [_number(text) for text in row[1:5]] for row in rows}
    report.close()
    results = [
        r
        for r in read_results(RunDirectory.open(folder).results)
        if r.precision == precision and r.workload_options["input_tokens"] == 8192
    ]
    assert set(found) == {result.hardware for result in results}
    costs = {}
    for hardware, numbers in found.items():
        own = [result for result in results if result.hardware == hardware]
        usd = rates["usd"][hardware]
        total, output = _curve(own, "output")
        _, inputs = _curve(own, "input")
        speeds = [curve.at(float(interactivity)) for curve in (total, inputs, output)]
        expected = [speeds[0], *(usd_per_million(speed, usd) for speed in speeds)]
        for number, column in zip(numbers, expected, strict=True):
            (value,) = column.listed()
            assert number == (None if value is None else pytest.approx(value, rel=2e-3))
        costs[hardware] = numbers[1] if numbers[1] is not None else math.inf
    assert list(costs.values()) == sorted(costs.values())
    cheapest = min(costs, key=lambda hardware: costs[hardware])
    print(f"{precision} at {interactivity} tok/s/user: {cheapest}, {costs[cheapest]:.4f} USD/Mtok")
    assert costs[cheapest] < math.inf


def _number(text: str) -> float | None:
    first = text.split(maxsplit=1)[0].replace(",", "")
    return None if first == DASH else float(first)
