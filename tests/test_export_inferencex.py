"""What the reporter `inferencex` writes, `bench import results` reads back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests_bench import Done

from tokenbench.api import PointResult
from tokenbench.store.layout import RunDirectory
from tokenbench.store.view import read_view

Cli = Callable[..., Done]
ROWS = "inferencex/dsr1_latest_2026-06-14.csv"
SAME = (
    *("engine", "engine_version", "model", "precision", "hardware", "accelerators", "layout"),
    *("roles", "speculation", "workload", "workload_options", "level"),
)


def _imported(cli: Cli, *args: str) -> tuple[Path, tuple[PointResult, ...]]:
    done = cli("import", "results", *args)
    assert done.code == 0, done.err
    folder = Path(done.out.strip().splitlines()[-1].removeprefix("run directory: "))
    return folder, read_view(RunDirectory.open(folder)).results


def test_published_rows_there_and_back(cli: Cli, shared_data: Callable[[str], Path]) -> None:
    """All 435 rows: the same configuration and the same metrics, to the last digits."""
    folder, points = _imported(cli, str(shared_data(ROWS)))
    written = cli("report", str(folder), "--reporter", "inferencex")
    assert written.code == 0, written.err
    assert "inferencex: 435 of 435 points" in written.out
    _, again = _imported(cli, str(folder / "reports" / "agg_bmk.json"))
    assert len(again) == len(points) == 435
    values = 0
    for before, after in zip(points, again, strict=True):
        assert [getattr(after, n) for n in SAME] == [getattr(before, n) for n in SAME]
        assert set(after.metrics) == set(before.metrics)
        for name, estimate in before.metrics.items():
            assert after.metrics[name].mean == pytest.approx(estimate.mean, rel=1e-9)
            values += 1
    print(f"{len(points)} points, {values} metrics")


def _row(**changes: object) -> dict[str, object]:
    return {
        "hw": "h200-trt",
        "conc": 8,
        "image": "org/engine:1.0",
        "model": "org/Model-FP8",
        "infmax_model_prefix": "dsr1",
        "framework": "trt",
        "precision": "fp8",
        "spec_decoding": "mtp",
        "disagg": False,
        "recipe_fingerprint": "",
        "isl": 1024,
        "osl": 1024,
        "is_multinode": False,
        "tp": 4,
        "pp": 2,
        "dcp_size": 1,
        "pcp_size": 1,
        "ep": 1,
        "dp_attention": "true",
        "tput_per_gpu": 100.0,
        "median_ttft": 0.5,
        "median_tpot": 0.02,
        "median_intvty": 50.0,
        "std_tpot": 0.001,
        "avg_power_w": 500.0,
        "joules_per_output_token": 9.0,
        "power_metric_schema_version": 2,
        "power_valid": 1,
        **changes,
    }


def _one(cli: Cli, tmp_path: Path, row: dict[str, object]) -> PointResult:
    file = tmp_path / "agg.json"
    file.write_text(json.dumps(row))
    (point,) = _imported(cli, str(file))[1]
    return point


def test_a_row_of_one_server(cli: Cli, tmp_path: Path) -> None:
    """The runner's name becomes a SKU; tp x pp accelerators; what has no place is kept."""
    point = _one(cli, tmp_path, _row())
    assert (point.hardware, point.engine, point.model) == ("h200", "trtllm", "dsr1")
    assert (point.accelerators, point.layout, point.roles) == (8, "tp4pp2dpa", None)
    assert point.metrics["power_w.accelerator"].mean == 4000
    assert point.metrics["energy_j_per_output_token.accelerator"].mean == 9
    assert point.origin is not None
    assert point.origin.fields["model_id"] == "org/Model-FP8"
    assert point.origin.fields["std_tpot"] == 0.001


def test_a_row_with_roles_apart(cli: Cli, tmp_path: Path) -> None:
    """Energy without a role is the whole deployment's since version 2 of the power metrics."""
    roles = {
        f"{role}_{key}": value
        for role in ("prefill", "decode")
        for key, value in {"tp": 4, "pp": 1, "ep": 4, "dp_attention": "false"}.items()
    }
    counts = {"num_prefill_gpu": 4, "num_decode_gpu": 8, "decode_num_workers": 2}
    power = {"prefill_joules_per_input_token": 0.5, "joules_per_input_token": 2.0}
    row = _row(disagg=True, is_multinode=True, **roles, **counts, **power)
    point = _one(cli, tmp_path, row)
    assert point.roles is not None and dict(point.roles) == {"prefill": 4, "decode": 8}
    assert point.layout == "prefill:tp4ep4+decode:2xtp4ep4"
    assert point.metrics["energy_j_per_input_token.prefill"].mean == 0.5
    assert point.metrics["energy_j_per_input_token.accelerator"].mean == 2.0


def test_several_nodes_without_roles(cli: Cli, tmp_path: Path) -> None:
    """InferenceX writes 0 decode accelerators, and the degrees as those of prefill."""
    degrees = {"prefill_tp": 16, "prefill_ep": 16, "prefill_dp_attention": "true"}
    none = {"decode_tp": 0, "decode_ep": 0, "decode_dp_attention": "false"}
    counts = {"num_prefill_gpu": 16, "num_decode_gpu": 0}
    point = _one(cli, tmp_path, _row(is_multinode=True, **degrees, **none, **counts))
    assert (point.accelerators, point.layout, point.roles) == (16, "tp16ep16dpa", None)


def test_wrong_rows(cli: Cli, tmp_path: Path) -> None:
    """The error names the file and the key."""
    file = tmp_path / "agg.json"
    file.write_text(json.dumps([_row(), _row(dp_attention="maybe")]))
    done = cli("import", "results", str(file))
    assert done.code == 2 and "agg.json, row 2: dp_attention: expected true or false" in done.err
    file.write_text(json.dumps(_row(tput_per_gpu=None)))
    done = cli("import", "results", str(file))
    assert "no value for tput_per_gpu" in done.err
