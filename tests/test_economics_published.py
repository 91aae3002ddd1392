"""Economics on the 435 published DeepSeek-R1 results of InferenceX, with the real catalogue."""

from __future__ import annotations

import collections
import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tokenbench.economics.column import Floats
from tokenbench.economics.composition import compositions
from tokenbench.economics.cost import usd_per_million_tokens
from tokenbench.economics.curve import Curve, frontier_curve
from tokenbench.economics.frontier import on_frontier
from tokenbench.economics.power import provisioned_j_per_token, tok_s_per_mw
from tokenbench.economics.rates import RateSet
from tokenbench.economics.steffen import steffen
from tokenbench.plugins.catalogue import Catalogue, read_catalogue
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.store.layout import RunDirectory
from tokenbench.store.view import read_view

if TYPE_CHECKING:
    from tests_bench import Done

Rows = list[dict[str, str]]
ROWS = "inferencex/dsr1_latest_2026-06-14.csv"
SERIES = ("hardware", "framework", "precision", "spec_method", "disagg", "isl", "osl")


@pytest.fixture
def rows(shared_data: Callable[[str], Path]) -> Rows:
    """The published rows."""
    with shared_data(ROWS).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """All installed catalogues."""
    return read_catalogue(PluginRegistry())


def numbers(rows: Rows, key: str) -> Floats:
    """A column; NaN where a row has nothing."""
    return np.array([float(row[key]) if row[key] else math.nan for row in rows])


def test_no_published_row_exceeds_the_speed_of_light(
    cli: Callable[..., Done], shared_data: Callable[[str], Path]
) -> None:
    """Of all 435, in TPOT and in throughput, in the files of a report; rows with MTP against the
    assumed maximum, which each of them states.
    """
    assert cli("import", "results", str(shared_data(ROWS))).code == 0
    (folder,) = Path("runs").iterdir()
    assert cli("report", str(folder), "--reporter", "files:formats=csv").code == 0
    with (folder / "reports" / "results.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    for row in points:
        drafts = row["speculation"] == "mtp"
        assert row["assumed_tokens_per_step"] == ("4.0" if drafts else "")
    for name in ("tpot_bound_share.p50", "throughput_bound_share.whole"):
        share = numbers(points, name)
        print(f"{name}: median {np.median(share):.1%}, most {share.max():.1%} of {len(share)}")
        assert len(share) == 435 and not np.isnan(share).any()
        assert (share <= 1).all()
        # A bound that is far from everything would show nothing.
        assert 0.05 < np.median(share) < 0.5 < share.max()
    assert all("InferenceX-app hardware constants" in row["rates"] for row in points)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_row_has_cost_and_power(rows: Rows, catalogue: Catalogue, version: str) -> None:
    """With the formulas of the definitions, row by row, from the catalogue's figures."""
    rates = RateSet.from_catalogue((entry.sku for entry in catalogue.entries), version)
    hardware: list[str | None] = [row["hardware"] for row in rows]
    speed, price = numbers(rows, "tput_per_gpu"), rates.usd_per_hour(hardware, "neocloud")
    power = rates.all_in_w(hardware)
    cost = usd_per_million_tokens(speed, price)
    per_mw, joules = tok_s_per_mw(speed, power), provisioned_j_per_token(speed, power)
    for index, row in enumerate(rows):
        (set_,) = [c for c in catalogue.find(row["hardware"]).sku.costs if c.version == version]
        assert set_.all_in_w is not None
        usd, tput = set_.usd_per_hour["neocloud"], float(row["tput_per_gpu"])
        assert cost.values[index] == pytest.approx(usd / (tput * 3600 / 1e6))
        assert per_mw.values[index] == pytest.approx(tput * 1000 / (set_.all_in_w / 1000))
        assert joules.values[index] == pytest.approx(set_.all_in_w / tput)
    assert {(rate.version) for rate in (*cost.rates, *per_mw.rates)} == {version}
    # What a row lacks is not made up: two have no split of their throughput.
    output = usd_per_million_tokens(numbers(rows, "output_tput_per_gpu"), price)
    assert output.listed().count(None) == 2


def test_published_joules_are_power_over_throughput(rows: Rows) -> None:
    """The rows have no cost and nothing per MW; 17 have measured power and joules per token, which
    are power / throughput to the digits that they give. Joules of input and output tokens are those
    of the whole machine in 16 rows, and per role in the one that is disaggregated.
    """
    assert not [key for key in rows[0] if {"cost", "usd", "mw"} & set(key.split("_"))]
    some = [row for row in rows if row["avg_power_w"]]
    assert len(some) == 17
    whole = numbers(some, "avg_power_w")
    apart = np.array([row["disagg"] == "true" for row in some])
    assert apart.sum() == 1
    per_role = np.where(apart, numbers(some, "decode_avg_power_w"), whole)
    total, output = numbers(some, "tput_per_gpu"), numbers(some, "output_tput_per_gpu")
    prefill, prefill_power = (
        numbers(some, "input_tput_per_gpu"),
        numbers(some, "prefill_avg_power_w"),
    )
    for published, power, speed in (
        ("joules_per_total_token", whole, total),
        ("joules_per_output_token", per_role, output),
        ("joules_per_input_token", prefill_power, prefill),
    ):
        ours = provisioned_j_per_token(speed, power).values
        known = numbers(some, published)
        assert (np.isnan(ours) == np.isnan(known)).all(), published
        assert np.nanmax(np.abs(known / ours - 1)) < 1e-5, published


def curves(rows: Rows, keys: tuple[str, ...] = SERIES) -> dict[tuple[str, ...], tuple[Rows, Curve]]:
    """The frontier of each series."""
    series: dict[tuple[str, ...], Rows] = collections.defaultdict(list)
    for row in rows:
        series[tuple(row[key] for key in keys)].append(row)
    return {
        key: (
            some,
            frontier_curve(numbers(some, "median_intvty"), numbers(some, "tput_per_gpu")),
        )
        for key, some in series.items()
    }


def test_deriving_cost_beats_interpolating_it(rows: Rows) -> None:
    """Each inner point of each frontier is left out and predicted from the others."""
    errors: dict[str, list[float]] = {"derived": [], "interpolated": []}
    for _, curve in curves(rows).values():
        x, y = curve.x.values, curve.y.values
        for left_out in range(1, len(x) - 1):
            xs, ys, at = np.delete(x, left_out), np.delete(y, left_out), x[left_out : left_out + 1]
            derived, interpolated = 1 / steffen(xs, ys, at)[0], steffen(xs, 1 / ys, at)[0]
            errors["derived"].append(abs(derived * y[left_out] - 1))
            errors["interpolated"].append(abs(interpolated * y[left_out] - 1))
    mean = {name: float(np.mean(found)) for name, found in errors.items()}
    print({name: f"{value:.1%} of {len(errors[name])}" for name, value in mean.items()})
    assert mean["derived"] < 0.75 * mean["interpolated"]


@pytest.mark.parametrize("precision", ["fp8", "fp4"])
def test_cheapest_hardware_at_an_interactivity(
    rows: Rows, catalogue: Catalogue, precision: str
) -> None:
    """8k/1k at 35, 60 and 120 tok/s/user: the interpolated cost is between those of the knots on
    both sides, and hardware that was not measured there has none.
    """
    rates = RateSet.from_catalogue((entry.sku for entry in catalogue.entries), "v2")
    wanted = [row for row in rows if row["isl"] == "8192" and row["precision"] == precision]
    targets = np.array([35.0, 60.0, 120.0])
    found: dict[str, tuple[float | None, ...]] = {}
    for (hardware,), (some, curve) in curves(wanted, ("hardware",)).items():
        rate = rates.usd_per_hour([hardware], "neocloud")
        at_knots = usd_per_million_tokens(curve.y, rate).values
        cost = usd_per_million_tokens(curve.at(targets), rate)
        found[hardware] = cost.listed()
        for target, value in zip(targets, cost.listed(), strict=True):
            right = int(np.searchsorted(curve.x.values, target))
            if value is None:
                assert right in (0, len(curve.x))
            else:
                assert at_knots[right - 1] <= value <= at_knots[right]
        # Dominated in throughput is dominated in cost, at one rate.
        all_costs = usd_per_million_tokens(numbers(some, "tput_per_gpu"), rate)
        cheap = on_frontier(numbers(some, "median_intvty"), -all_costs.values)
        assert set(curve.points.tolist()) <= set(np.flatnonzero(cheap).tolist())
    for index, target in enumerate(targets):
        known = {name: cost for name, costs in found.items() if (cost := costs[index]) is not None}
        ranking = sorted(known.items(), key=lambda item: item[1])
        print(precision, f"{target:g} tok/s/user:", [f"{n} ${c:.3f}" for n, c in ranking])
        assert ranking


def test_gains_together_of_the_published_rows(
    cli: Callable[..., Done], shared_data: Callable[[str], Path]
) -> None:
    """On B200 with TensorRT-LLM, 8k/1k: fp4 and MTP together give what their single gains promise
    at 37 tok/s/user, and three quarters of it at 52. All ratios agree with their parts.
    """
    assert cli("import", "results", str(shared_data(ROWS))).code == 0
    (folder,) = Path("runs").iterdir()
    results = read_view(RunDirectory.open(folder)).results
    families = compositions(results)
    together = [gain for one in families for gain in one.gains if len(gain.changes) > 1]
    known = [at for gain in together for at in gain.at if at.ratio is not None]
    print(f"{len(families)} families, {len(together)} combinations, {len(known)} ratios")
    assert len(known) > 50
    for at in known:
        assert at.product is not None
        assert at.ratio == pytest.approx(at.gain / at.product)
        assert at.ratio_half_width is None  # The rows have no repeats.
    options = "random: input_tokens 8192, output_tokens 1024, input_range 0.8, output_range 0.8"
    (family,) = [one for one in families if one.family == f"dsr1 on b200, trtllm, {options}"]
    (both,) = [gain for gain in family.gains if len(gain.changes) == 2]
    assert both.changes == ("precision fp8 -> fp4", "speculation none -> mtp")
    assert both.at[0].ratio == pytest.approx(1.09, abs=0.01)
    assert both.at[-1].ratio == pytest.approx(0.77, abs=0.01)
