"""`bench hardware`, plans for accelerators of a SKU, and what the catalogues here hold."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHIP = ROOT / "tests" / "site_chip"
MISSION = {
    *("h100", "h200", "b200", "b300", "gb200", "gb300", "rtx6000pro"),
    *("mi300x", "mi325x", "mi355x", "mi455x", "tpuv7", "trn2", "trn3"),
}
PLAN = ("plan", "--workload", "random:input_tokens=8,output_tokens=8", "--concurrency", "1")


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """The package of a third party is installed. Returns the calls of its probe."""
    monkeypatch.syspath_prepend(str(CHIP))
    monkeypatch.delitem(sys.modules, "thirdchip", raising=False)
    log = tmp_path / "probes"
    monkeypatch.setenv("THIRDCHIP_PROBES", str(log))
    return lambda: log.read_text().split() if log.exists() else []


def _skus(cli) -> dict[str, dict[str, Any]]:
    done = cli("hardware", "list", "--json")
    assert done.code == 0, done.err
    return {sku["name"]: sku for sku in json.loads(done.out)}


def _values(sku: dict[str, Any]) -> dict[str, Any]:
    return {name: figure["value"] for name, figure in sku["figures"].items()}


# -- what is in it -------------------------------------------------------------------------------


def test_every_figure_has_a_source_and_a_date(cli) -> None:
    """Of every SKU of every plugin here: a URL or a document, and a day or a month."""
    skus = _skus(cli)
    assert set(skus) >= MISSION
    for name, sku in skus.items():
        if name != "cpu":
            assert sku["figures"], name
        for figure, facts in sku["figures"].items():
            assert len(facts["source"]) > 10, (name, figure)
            day = facts["date"] + "-01" * (len(facts["date"]) == len("2026-11"))
            assert dt.date(2017, 1, 1) < dt.date.fromisoformat(day), (name, figure)
            assert facts["value"] not in (None, 0, "", []), (name, figure)


def test_figures_match_their_source(cli, shared_data) -> None:
    """Each number of InferenceX's table, in its unit; nothing that the table leaves out."""
    with shared_data("hardware_constants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    skus = _skus(cli)
    assert len(rows) == 13
    for row in rows:
        ours = {
            name: facts["value"]
            for name, facts in skus[row["key"]]["figures"].items()
            if "InferenceX" in facts["source"] and not isinstance(facts["value"], str | list)
        }
        assert ours == pytest.approx(_expected(row)), row["key"]


def _expected(row: dict[str, str]) -> dict[str, float]:
    sizes = {
        "tdp_w": ("tdp_w", 1),
        "hbm_gb": ("memory_bytes", 1 << 30),
        "hbm_tb_s": ("memory_bandwidth_bytes_s", 1e12),
        "scale_up_gb_s_unidir": ("scale_up_bandwidth_bytes_s", 1e9),
        "scale_up_world": ("scale_up_size", 1),
        "scale_out_gbit_s": ("scale_out_bandwidth_bytes_s", 1e9 / 8),
        "allin_kw_v1_2026_04": ("costs[v1].all_in_w", 1e3),
        "allin_kw_v2": ("costs[v2].all_in_w", 1e3),
    }
    sizes |= {f"{kind}_dense_tflops": (f"dense_flops.{kind}", 1e12) for kind in ("fp4", "fp8")}
    sizes["bf16_dense_tflops"] = ("dense_flops.bf16", 1e12)
    for column in row:
        if found := re.match(r"usd_(\w+?)_(v\d)", column):
            model = {"rent3yr": "rent_3yr"}.get(found[1], found[1])
            sizes[column] = (f"costs[{found[2]}].usd_per_hour.{model}", 1)
    known = {column: value for column, value in row.items() if column in sizes and value}
    return {sizes[c][0]: float(value) * sizes[c][1] for c, value in known.items()}


def test_guessed_prices_are_marked(cli) -> None:
    """Those of B300 and GB300 in the first set, and no others."""
    notes = {
        (name, facts["version"])
        for name, sku in _skus(cli).items()
        for facts in sku["figures"].values()
        if facts["note"]
    }
    assert notes == {("b300", "v1"), ("gb300", "v1")}


def test_readmes_list_what_is_not_known(cli) -> None:
    """Per SKU, the fields that nobody could read at a source."""
    for sku in _skus(cli).values():
        if sku["plugin"] == "cpu":
            continue
        readme = (ROOT / "plugins" / "hardware" / sku["plugin"] / "README.md").read_text()
        fields = ", ".join(f"`{field}`" for field in sku["unknown"]) or "-"
        assert f"\n| `{sku['name']}` | {fields} |\n" in readme, sku["name"]


# -- list and show -------------------------------------------------------------------------------


def test_the_list_has_the_main_figures(cli) -> None:
    """In the units of its second line; a figure that is not known is a dash."""
    done = cli("hardware", "list")
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert rows["SKU"][:5] == ["SKU", "VENDOR", "MEMORY", "BANDWIDTH", "FP4"]
    expected = "h200 nvidia 141 4.8 - 1,979 989 700 1.37 1.22 1.59 2.90"
    assert rows["h200"] == expected.split()
    assert cli("hardware").out == done.out


@pytest.mark.parametrize("name", ["gb200", "GB200", "GB200 NVL72", "nvidia gb200"])
def test_show_finds_a_sku_by_any_of_its_names(cli, name: str) -> None:
    """Each figure on a line with source and date."""
    done = cli("hardware", "show", name)
    assert done.code == 0, done.err
    assert done.out.startswith("gb200 GB200 NVL72 of nvidia\n")
    assert re.search(r"\ntdp_w +1,200 W +2026-09 +InferenceX", done.out)
    assert re.search(r"\ncosts\[v2\]\.usd_per_hour\.neocloud +2\.26 USD/h +2026-07-31 ", done.out)
    assert re.search(r"\nhost_link +NVLink-C2C +2026-11-30 +https://", done.out)
    assert "\nnot known: scale_out_link, " in done.out
    shown = json.loads(cli("hardware", "show", name, "--json").out)
    assert shown == _skus(cli)["gb200"]


def test_show_has_notes_and_units(cli) -> None:
    """A guess is called a guess; operations are not FLOP."""
    assert "(its prices are guesses" in cli("hardware", "show", "b300").out
    assert re.search(r"dense_flops\.int8 +393 TOP/s", cli("hardware", "show", "tpuv5e").out)


@pytest.mark.parametrize(
    ("name", "near"), [("h20", "'h200'"), ("mi355", "'mi355x'"), ("tpu-v7", "'tpuv7'"), ("zz", "")]
)
def test_an_unknown_sku_has_near_names(cli, name: str, near: str) -> None:
    """Two lines, exit code 2."""
    done = cli("hardware", "show", name)
    error, hint = done.complaint
    assert (done.code, error) == (2, f"error: unknown SKU '{name}'")
    assert near in hint and "bench hardware list" in hint


def test_a_broken_plugin_does_not_hide_the_others(cli, tmp_path: Path, monkeypatch) -> None:
    """It is named on standard error with the reason, and where a SKU is not found."""
    for name, body in {
        "brokenchip": "raise OSError('libbroken.so is missing')",
        "oddchip": "return ['x1']",
    }.items():
        _install(tmp_path, name, body)
    monkeypatch.syspath_prepend(str(tmp_path))
    done = cli("hardware", "list")
    assert done.code == 0 and "\nh200 " in done.out
    assert (
        "no SKUs of brokenchip: hardware 'brokenchip' (brokenchip 1.0): catalogue() raised OSErr"
        in done.err
    )
    assert (
        "no SKUs of oddchip: hardware 'oddchip' (oddchip 1.0): catalogue() returned [0]" in done.err
    )
    missing = cli("hardware", "show", "x1")
    assert "(not read: brokenchip, oddchip)" in missing.complaint[1]
    assert cli(*PLAN, "--engine", "scripted", "--hardware", "h200:8").code == 0


def _install(site: Path, name: str, catalogue: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[tokenbench.api]\n0.2 = tokenbench.api\n[tokenbench.hardware]\n{name} = {name}\n"
    )
    (site / f"{name}.py").write_text(
        "from tokenbench.api import *\n"
        "class Chip(Hardware):\n"
        f"    def catalogue(self): {catalogue}\n"
        "@hookimpl\n"
        "def bench_register_hardware():\n"
        f"    return [HardwareSpec(name='{name}', summary='s', factory=lambda *_: Chip())]\n"
    )


def test_one_sku_in_two_catalogues(cli, tmp_path: Path, monkeypatch) -> None:
    """An error that names both distributions; the full name decides."""
    sku = "return [Sku(name='h200', vendor='v', source='s', date='2026-11')]"
    _install(tmp_path, "otherchip", sku)
    monkeypatch.syspath_prepend(str(tmp_path))
    done = cli("hardware", "show", "h200")
    error, hint = done.complaint
    assert done.code == 3
    assert "otherchip" in error and "tokenbench-hardware-nvidia" in error
    assert "/h200" in hint
    assert cli("hardware", "show", "otherchip/h200").out.startswith("h200 of v\n")
    plan = cli(*PLAN, "--engine", "scripted", "--hardware", "tokenbench-hardware-nvidia/h200:8")
    assert "on 1 x h200\n" in plan.out


# -- a third party's SKU -------------------------------------------------------------------------


def test_a_third_party_has_every_field(cli, third) -> None:
    """Prices, all-in power and scale-up domain from its own package, with its sources."""
    sku = _skus(cli)["third-x1"]
    assert sku["unknown"] == []
    values = _values(sku)
    assert values["costs[2026-04].all_in_w"] == 900
    assert values["scale_up_size"] == 16
    assert sku["figures"]["tdp_w"]["source"] == "third's OAM manual, page 12"
    assert sku["figures"]["memory_bytes"]["source"] == "https://third.example/x1.pdf"
    row = next(line for line in cli("hardware").out.splitlines() if line.startswith("third-x1"))
    # Each price is that of the newest set that has it.
    assert row.split()[-4:] == ["0.9", "1.00", "1.25", "2.00"]
    checked = cli("plugins", "check", "thirdchip")
    assert checked.code == 0, checked.out
    assert re.search(r"skus-have-source-and-date +ok", checked.out)


def test_a_plan_by_catalogue_probes_nothing(cli, third) -> None:
    """An engine that runs only on accelerators which this machine does not have."""
    done = cli(*PLAN, "--engine", "thirdengine", "--hardware", "third-x1:8", "--tp", "4")
    assert done.code == 0, done.err
    assert "  on 4 x third-x1\n" in done.out
    assert "note: planned from the catalogue: `bench run` needs 8 x third-x1" in done.out
    assert "note: 4 of 8 x third-x1 are used" in done.out
    assert third() == []
    whole = cli(*PLAN, "--engine", "thirdengine", "--hardware", "Third X1", "--tp", "16")
    assert "  on 16 x third-x1\n" in whole.out and "are used" not in whole.out
    absent = cli(*PLAN, "--engine", "thirdengine", "--hardware", "thirdchip")
    assert absent.code == 4 and "no /dev/third0" in absent.err
    assert third() == ["probe"]


def test_identity_does_not_depend_on_where_it_is_planned(cli, third, monkeypatch) -> None:
    """The same points from the catalogue and on a machine with the chips."""

    def ids(hardware: str) -> list[str]:
        done = cli(*PLAN, "--engine", "thirdengine", "--tp", "2", "--hardware", hardware, "--json")
        (deployment,) = json.loads(done.out)["deployments"]
        return [deployment["id"], *(point["id"] for point in deployment["points"])]

    planned = ids("third-x1:8")
    monkeypatch.setenv("THIRDCHIP_DEVICES", "2")
    assert planned == ids("thirdchip") == ids("third-x1")


def test_hooks_of_plugins_that_are_only_searched_are_not_called(cli, third) -> None:
    """Reading all catalogues does not make their modules part of the run."""
    chosen = cli(*PLAN, "--explain", "--engine", "scripted", "--hardware", "third-x1:1")
    other = cli(*PLAN, "--explain", "--engine", "scripted", "--hardware", "h200:1")
    assert "variable THIRD = '1'" in chosen.out
    assert other.code == 0 and "THIRD" not in other.out


@pytest.mark.parametrize(("devices", "why"), [("0", "no /dev/third0"), ("2", "2 found")])
def test_a_run_needs_the_accelerators(cli, third, monkeypatch, devices: str, why: str) -> None:
    """All that were asked for: exit code 4, the reason, nothing started."""
    monkeypatch.setenv("THIRDCHIP_DEVICES", devices)
    done = cli("run", *PLAN[1:], "--engine", "thirdengine", "--hardware", "third-x1:8")
    error, hint = done.complaint
    assert (done.code, error) == (4, f"error: this machine does not have 8 x third-x1: {why}")
    assert "bench plan" in hint
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("hardware", "said", "help_"),
    [
        ("h200:0", "--hardware: expected between 1 and 100,000 of 'h200', got 0", "h200:8"),
        ("h200:-1", "got -1", "h200:8"),
        ("h200:" + "9" * 6000, "expected between 1 and 100,000", "h200:8"),
        ("h200:eight", "expected key=value after 'h200', got 'eight'", "SKU:COUNT"),
        ("h200:2.5", "expected key=value after 'h200', got '2.5'", "SKU:COUNT"),
        ("h20:8", "--hardware: unknown SKU 'h20'", "did you mean 'h200'"),
        ("h20", "unknown hardware 'h20'", "did you mean 'h200'"),
        ("nvidi", "unknown hardware 'nvidi'", "plugins: "),
        ("nvidia:8", "unknown SKU 'nvidia'", "`--hardware nvidia` takes what this machine has"),
        ("cpu:2", "'cpu' has no accelerators to plan for", "its plugin: cpu"),
        ("none-such/h200:8", "unknown SKU 'h200'", "bench hardware list"),
    ],
)
def test_hardware_that_is_not_there(cli, hardware: str, said: str, help_: str) -> None:
    """Exit code 2, what is wrong, what to write."""
    done = cli(*PLAN, "--engine", "scripted", "--hardware", hardware)
    error, hint = done.complaint
    assert done.code == 2
    assert said in error and len(error) < 200
    assert help_ in hint


def test_a_topology_larger_than_what_is_given(cli, third) -> None:
    """The suite says 8, the topology needs 16."""
    done = cli(*PLAN, "--engine", "thirdengine", "--hardware", "third-x1:8", "--tp", "16")
    assert done.code == 2
    assert "the topology needs 16 accelerators, but only 8 x third-x1 are given" in done.err


def test_a_suite_names_a_sku(cli, third, tmp_path: Path) -> None:
    """As on the command line; errors have the line."""
    text = "deployments: [{engine: thirdengine, hardware: %s, topology: {tp: 2}}]\n"
    suite = tmp_path / "s.yaml"
    suite.write_text(text % "third-x1:4")
    data = json.loads(cli("plan", str(suite), "--json").out)
    assert data["suite"]["deployments"][0]["hardware"] == "third-x1:4"
    hardware = data["deployments"][0]["request"]["hardware"]
    assert hardware["chip"].pop("memory_bytes") == 64 << 30
    assert {**hardware, "chip": None} == {
        "kind": "thirdchip",
        "sku": "third-x1",
        "count": 2,
        "chip": None,
    }
    suite.write_text(text % "third-x2:4")
    error, hint = cli("plan", str(suite)).complaint
    assert error.startswith(f"error: {suite}:1: deployments[0].hardware: unknown SKU 'third-x2'")
    assert "'third-x1'" in hint
    suite.write_text(text % "third-x1:0")
    assert "s.yaml:1: deployments[0].hardware: expected between 1" in cli("plan", str(suite)).err
