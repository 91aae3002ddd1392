"""`bench import results` on the published rows of InferenceX, and on real files of vLLM."""

from __future__ import annotations

import collections
import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_bench import Done

from tokenbench.api import Measurement, PointResult
from tokenbench.imports import inferencex
from tokenbench.imports.formats import FORMATS
from tokenbench.store.layout import RunDirectory
from tokenbench.store.view import read_view

Cli = Callable[..., Done]
ROWS = "inferencex/dsr1_latest_2026-06-14.csv"
STATISTICS = {"mean": "mean", "median": "p50", "p90": "p90", "p99": "p99", "p99.9": "p99_9"}
TIMES = {
    "ttft": "ttft_s",
    "tpot": "tpot_s",
    "itl": "itl_chunk_s",
    "e2el": "e2e_s",
    "intvty": "interactivity_tok_s",
}
ENGINES = {"trtllm": "trt", "dynamo-trtllm": "dynamo-trt", "sglang-mori": "mori-sglang"}


def _imported(cli: Cli, *args: str) -> tuple[Path, tuple[PointResult, ...]]:
    done = cli("import", "results", *args)
    assert done.code == 0, done.err
    folder = Path(done.out.strip().splitlines()[-1].removeprefix("run directory: "))
    return folder, read_view(RunDirectory.open(folder)).results


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _mean(point: PointResult, name: str) -> float | None:
    estimate = point.metrics.get(name)
    return None if estimate is None else estimate.mean


def _row_of(point: PointResult) -> dict[str, Any]:
    """The row that a point was made of, from the point alone."""
    assert point.origin is not None
    assert point.mean("theoretical_hit_share") == 0  # Random prompts.
    apart = point.roles is not None
    row: dict[str, Any] = {
        **point.origin.fields,
        "hardware": point.hardware,
        "model": point.model,
        "precision": point.precision,
        "spec_method": point.speculation,
        "disagg": apart,
        "isl": point.workload_options["input_tokens"],
        "osl": point.workload_options["output_tokens"],
        "conc": point.level.concurrency,
        "date": point.date,
        "run_url": point.origin.url,
        "tput_per_gpu": _mean(point, "total_tok_s_per_accelerator.whole"),
        "joules_per_total_token": _mean(point, "energy_j_per_total_token.accelerator"),
    }
    assert row["framework"] == ENGINES.get(point.engine, point.engine)
    for side, role in (("input", "prefill"), ("output", "decode")):
        name = f"_per_{role}_accelerator" if apart else "_per_accelerator"
        row[f"{side}_tput_per_gpu"] = _mean(point, f"{side}_tok_s{name}.whole")
        domain = role if apart else "accelerator"
        row[f"joules_per_{side}_token"] = _mean(point, f"energy_j_per_{side}_token.{domain}")
    for theirs, ours in STATISTICS.items():
        row |= {f"{theirs}_{k}": _mean(point, f"{v}.{ours}") for k, v in TIMES.items()}
    return row


def _same(cell: str, value: Any) -> bool:
    if cell == "" or value is None:
        return cell == "" and value is None
    if isinstance(value, bool):
        return cell == str(value).lower()
    return float(cell) == value if isinstance(value, int | float) else cell == value


def test_435_rows_are_imported_without_loss(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """Every cell of every row comes back from its point, to the last digit."""
    file = shared_data(ROWS)
    rows = _rows(file)
    _, points = _imported(cli, str(file))
    assert len(rows) == len(points) == len({point.point for point in points}) == 435
    cells = 0
    for number, (row, point) in enumerate(zip(rows, points, strict=True), 1):
        assert point.origin is not None and point.origin.row == number
        assert point.measurement is Measurement.IMPORTED
        again = _row_of(point)
        for column, cell in row.items():
            assert _same(cell, again.get(column)), (number, column, cell, again.get(column))
            cells += 1
        assert set(again) <= set(row)
    print(f"{len(points)} points, {cells} cells")
    assert cells == 435 * 64
    assert len({point.hardware for point in points}) == 9
    assert len({point.engine for point in points}) == 6


def test_consistency_of_the_rows(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """1 / TPOT; the split of the throughput; 8 rows contradict themselves and are not repaired."""
    folder, points = _imported(cli, str(shared_data(ROWS)))
    statistics = 0
    for point in points:
        for ours in STATISTICS.values():
            tpot, rate = _mean(point, f"tpot_s.{ours}"), _mean(point, f"interactivity_tok_s.{ours}")
            assert (tpot is None) == (rate is None)
            if tpot is not None and rate is not None:
                assert tpot * rate == pytest.approx(1, rel=1e-9)
                statistics += 1
    counts = collections.Counter(map(_split, points))
    print(f"{statistics} statistics of TPOT, {dict(counts)}")
    assert counts == {"sum": 198, "no split": 2, "roles agree": 227, "roles contradict": 8}
    bad = [p for p in points if any(n.startswith("inconsistent") for n in p.notes)]
    assert [_split(p) for p in bad] == ["roles contradict"] * 8
    assert {p.hardware for p in bad} == {"gb200"}
    assert all("output_tok_s.whole" not in p.metrics for p in bad)
    notes = read_view(RunDirectory.open(folder)).notes
    assert notes[1].startswith("inconsistent: 8 of 435: row 151: gb200")
    # Its throughput is 1/42 of what 512 requests of 922 tokens in 55.6 s are.
    assert notes[2] == ("doubtful: 1 of 435: row 205: mi355x atom fp8 1024/1024 c512 (2026-06-02)")


def _split(point: PointResult) -> str:
    total = _mean(point, "total_tok_s_per_accelerator.whole")
    assert total is not None
    if point.roles is None:
        into = _mean(point, "input_tok_s_per_accelerator.whole")
        out = _mean(point, "output_tok_s_per_accelerator.whole")
        if into is None or out is None:
            assert into is None and out is None
            return "no split"
        return "sum" if math.isclose(into + out, total, rel_tol=1e-6) else "no sum"
    into = _mean(point, "input_tok_s_per_prefill_accelerator.whole")
    out = _mean(point, "output_tok_s_per_decode_accelerator.whole")
    assert into is not None and out is not None
    prefill, decode = point.roles["prefill"], point.roles["decode"]
    agree = abs(into * prefill + out * decode - total * (prefill + decode))
    return "roles agree" if agree <= 1e-3 * total * (prefill + decode) else "roles contradict"


def test_accelerators_of_rows_that_state_tp_times_ep(
    cli: Cli, shared_data: Callable[[str], Path]
) -> None:
    """By Little's law, requests in flight x tokens / latency / throughput per accelerator is the
    number of accelerators: max(tp, ep), not the tp x ep that 46 rows state.
    """
    _, points = _imported(cli, str(shared_data(ROWS)))
    noted = [p for p in points if any(n.startswith("the row states") for n in p.notes)]
    assert len(noted) == 46
    for point in noted:
        concurrency, tokens = point.level.concurrency, point.workload_options["output_tokens"]
        latency = _mean(point, "e2e_s.mean")
        each = _mean(point, "output_tok_s_per_accelerator.whole")
        assert concurrency and isinstance(tokens, int) and latency and each
        implied = concurrency * 0.9 * tokens / latency / each
        assert implied == pytest.approx(point.accelerators, rel=0.1), point.notes


def test_power_is_that_of_all_accelerators(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """`avg_power_w` is one accelerator's: energy per token x tokens/s gives the same power."""
    _, points = _imported(cli, str(shared_data(ROWS)))
    powered = [p for p in points if "power_w.accelerator" in p.metrics]
    assert len(powered) == 17
    for point in powered:
        power, total = _mean(point, "power_w.accelerator"), _mean(point, "total_tok_s.whole")
        each = _mean(point, "energy_j_per_total_token.accelerator")
        assert power and total and each
        assert each * total == pytest.approx(power, rel=1e-5)


def test_json_of_the_api_gives_the_same_points(
    cli: Cli, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """In the API's shape the configuration is flat, and the metrics are in `metrics`."""
    file = shared_data(ROWS)
    about = list(_rows(file)[0])
    about = about[: about.index("tput_per_gpu")]
    listed = []
    for row in _rows(file)[:60]:
        typed = {k: _typed(v) for k, v in row.items()}
        flat: dict[str, Any] = {k: typed[k] for k in about}
        flat["metrics"] = {k: v for k, v in typed.items() if k not in about and v is not None}
        listed.append(flat)
    made = tmp_path / "rows.json"
    made.write_text(json.dumps(listed))
    _, from_json = _imported(cli, str(made))
    _, from_csv = _imported(cli, str(file))
    for one, other in zip(from_json, from_csv[:60], strict=True):
        assert (one.point, one.metrics, one.notes) == (other.point, other.metrics, other.notes)
        assert one.origin is not None and other.origin is not None
        assert one.origin.fields == other.origin.fields


def _typed(cell: str) -> Any:
    if cell in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[cell]
    try:
        return int(cell) if cell.isdigit() else float(cell)
    except ValueError:
        return cell


def test_imported_runs_are_reported(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """Console and files, without a suite; nothing to resume."""
    folder, points = _imported(cli, str(shared_data(ROWS)))
    shown = cli("report", str(folder))
    assert shown.code == 0 and "imported" in shown.out
    assert "note: inconsistent: 8 of 435" in shown.out
    assert "certified" not in shown.out and "no confidence interval" not in shown.out
    written = cli("report", str(folder), "--reporter", "files:formats=csv/json/parquet")
    assert written.code == 0, written.err
    rows = _rows(folder / "reports" / "results.csv")
    assert len(rows) == len(points) and {row["measurement"] for row in rows} == {"imported"}
    refused = cli("run", "--resume", str(folder))
    assert refused.code == 2 and "was imported" in refused.err


def test_files_of_vllm_bench_serve(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """Milliseconds become seconds; facts that the file lacks are the user's, or None."""
    file = shared_data("h100/vllm_bench_serve_c32.json")
    _, (bare,) = _imported(cli, str(file))
    assert (bare.hardware, bare.engine, bare.accelerators) == ("unknown", "unknown", None)
    assert bare.level.concurrency == 32 and bare.date == "2026-11-26"
    assert _mean(bare, "ttft_s.p50") == pytest.approx(0.44591007499997204)
    assert _mean(bare, "tpot_s.p99") == pytest.approx(0.010731587291804033)
    assert _mean(bare, "interactivity_tok_s.p99") == pytest.approx(1 / 0.010731587291804033)
    assert _mean(bare, "output_tok_s.whole") == 2914.8884336000237
    assert _mean(bare, "ttft_s.p90") is None
    assert "total_tok_s_per_accelerator.whole" not in bare.metrics
    facts = ("engine=vllm", "engine_version=0.23.0", "hardware=H100 SXM", "accelerators=1")
    _, (full,) = _imported(cli, str(file), *(part for fact in facts for part in ("--set", fact)))
    assert (full.hardware, full.engine_version) == ("h100", "0.23.0")
    assert _mean(full, "total_tok_s_per_accelerator.whole") == 14574.44216800012
    _, (detailed,) = _imported(cli, str(shared_data("vllm_bench_serve_result.json")))
    assert detailed.workload_options["mean_output_tokens"] == 32


def test_equal_files_are_repeats(
    cli: Cli, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Three results of one load are three repeats, with an interval; a copy is refused."""
    document = json.loads(shared_data("h100/vllm_bench_serve_c32.json").read_text())
    files = []
    for number, factor in enumerate((1.0, 1.01, 0.98)):
        file = tmp_path / f"r{number}.json"
        changed = document["output_throughput"] * factor
        file.write_text(json.dumps({**document, "output_throughput": changed}))
        files.append(str(file))
    _, (point,) = _imported(cli, *files)
    estimate = point.metrics["output_tok_s.whole"]
    assert point.repeats == 3 and estimate.method == "repeats" and estimate.half_width
    assert point.origin is not None and point.origin.files == ("r0.json", "r1.json", "r2.json")
    twice = cli("import", "results", files[0], files[0])
    assert twice.code == 2 and "the same content twice" in twice.err


def test_the_page_has_the_mapping() -> None:
    """Every format, engine and time that the importer knows is in the how-to's tables."""
    page = (Path(__file__).resolve().parents[1] / "docs/how-to/import-results.md").read_text()
    for one in FORMATS:
        assert f"| `{one.name}` |" in page
    for theirs, ours in inferencex.ENGINES.items():
        assert f"`{theirs}` is `{ours}`" in page
    for theirs, ours in inferencex.TIMES.items():
        assert f"`STAT_{theirs}`" in page and f"`{ours}.STAT`" in page
    for theirs, ours in inferencex.STATISTICS.items():
        assert f"`{theirs}`" in page and f"`{ours}`" in page
    assert set(ENGINES.values()) == set(inferencex.ENGINES)
