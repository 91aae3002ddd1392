"""Rows of the aggregate JSON: keys, units, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenbench_reporter_inferencex.layout import LeftOut, parse
from tokenbench_reporter_inferencex.plugin import InferenceXOptions, bench_register_reporters

from tokenbench.api import (
    Accuracy,
    Check,
    CheckOutcome,
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    PluginContext,
    PointResult,
    PointState,
)
from tokenbench_testing.samples import views

OPTIONS = FrozenMap(input_tokens=8192, output_tokens=1024, input_range=0.8, output_range=0.8)
METRICS = {
    "total_tok_s_per_accelerator.whole": 900.0,
    "input_tok_s_per_accelerator.whole": 800.0,
    "output_tok_s_per_accelerator.whole": 100.0,
    "ttft_s.p50": 0.25,
    "ttft_s.p99_9": 2.5,
    "tpot_s.p50": 0.02,
    "interactivity_tok_s.p50": 50.0,
    "itl_chunk_s.mean": 0.021,
    "power_w.accelerator": 4800.0,
    "energy_j_per_total_token.accelerator": 0.6,
}
# Keys of process_result.py (SemiAnalysisAI/InferenceX, 2026-08-21), in its order.
COMMON = (
    *("hw", "conc", "image", "model", "infmax_model_prefix", "framework", "precision"),
    *("spec_decoding", "disagg", "recipe_fingerprint", "isl", "osl", "is_multinode"),
)
SINGLE = ("tp", "pp", "dcp_size", "pcp_size", "ep", "dp_attention")
STATISTICS = ("mean", "median", "p75", "p90", "p95", "p99", "p99.9")
TIMES = ("ttft", "tpot", "itl", "e2el", "intvty")
# What the dashboard's ingest knows (SemiAnalysisAI/InferenceX-app, packages/db/src/etl and
# packages/constants/src/metric-keys.ts, 2026-11): configuration, and metrics. Other numbers are
# taken with a warning; `pp` of one server is one of them.
ACCEPTED = {
    *COMMON,
    *("tp", "ep", "dp_attention", "num_gpus", "num_prefill_gpu", "num_decode_gpu"),
    *(f"{role}_{k}" for role in ("prefill", "decode") for k in ("tp", "ep", "dp_attention", "pp")),
    *(f"{role}_{k}" for role in ("prefill", "decode") for k in ("num_workers", "dcp_size")),
    *("prefill_pcp_size", "decode_pcp_size", "dcp_size", "pcp_size", "pp"),
    *("tput_per_gpu", "output_tput_per_gpu", "input_tput_per_gpu"),
    *(f"{statistic}_{time}" for statistic in STATISTICS for time in TIMES),
    *("power_valid", "power_metric_schema_version", "avg_power_w", "avg_total_gpu_power_w"),
    *("total_gpu_energy_j", "joules_per_successful_query", "joules_per_output_token"),
    *("joules_per_total_token", "joules_per_input_token", "prefill_joules_per_input_token"),
    "decode_joules_per_output_token",
}
MULTI = (
    *(f"{role}_{key}" for role in ("prefill", "decode") for key in (*SINGLE, "num_workers")),
    *("num_prefill_gpu", "num_decode_gpu"),
)


def _point(metrics: dict[str, float] = METRICS, **changes: Any) -> PointResult:
    values = {
        name: Estimate(mean=value, half_width=None, values=(value,))
        for name, value in metrics.items()
    }
    facts = {
        "engine": "trtllm",
        "model": "deepseek-r1-0528",
        "precision": "fp8",
        "hardware": "h200",
        "accelerators": 8,
        "layout": "tp8ep8dpa8",
        "speculation": "none",
        "workload": "random",
        "workload_options": OPTIONS,
        "metrics": FrozenMap(values),
    }
    return views.point(**{**facts, **changes})


def _render(*points: PointResult, **options: Any) -> tuple[list[dict[str, Any]], str]:
    (spec,) = bench_register_reporters()
    reporter = spec.factory(InferenceXOptions(**options), PluginContext())
    table, text = reporter.render(views.view(views.run(*points)))
    assert table.name == "agg_bmk.json" and text.name is None
    return json.loads(table.content), text.content.decode()


def test_one_server() -> None:
    """Every key in the order and with the units of the original; unmeasured metrics are absent."""
    ((row,), text) = _render(_point(), image="org/engine:1.0")
    assert tuple(row)[: len(COMMON + SINGLE)] == COMMON + SINGLE
    assert row == {
        "hw": "h200",
        "conc": 4,
        "image": "org/engine:1.0",
        "model": "deepseek-r1-0528",
        "infmax_model_prefix": "dsr1",
        "framework": "trt",
        "precision": "fp8",
        "spec_decoding": "none",
        "disagg": False,
        "recipe_fingerprint": "",
        "isl": 8192,
        "osl": 1024,
        "is_multinode": False,
        "tp": 8,
        "pp": 1,
        "dcp_size": 1,
        "pcp_size": 1,
        "ep": 8,
        "dp_attention": "true",
        "num_gpus": 8,
        "tput_per_gpu": 900.0,
        "output_tput_per_gpu": 100.0,
        "input_tput_per_gpu": 800.0,
        "median_ttft": 0.25,
        "p99.9_ttft": 2.5,
        "median_tpot": 0.02,
        "median_intvty": 50.0,
        "mean_itl": 0.021,
        "avg_power_w": 600.0,
        "avg_total_gpu_power_w": 4800.0,
        "joules_per_total_token": 0.6,
        "power_metric_schema_version": 2,
        "power_valid": 1,
    }
    assert text == "inferencex: 1 of 1 points\n"


def test_the_dashboard_knows_every_key() -> None:
    """Of one server and of roles apart, with every statistic; the number of accelerators is stated
    where the dashboard would take tp x ep; it reads an unknown speculation as none, which is told.
    """
    times = ("ttft_s", "tpot_s", "interactivity_tok_s", "itl_chunk_s", "e2e_s")
    every = {
        f"{metric}.{statistic}": 1.0
        for metric in times
        for statistic in ("mean", "p50", "p75", "p90", "p95", "p99", "p99_9")
    }
    roles = FrozenMap({"prefill": 4, "decode": 8})
    apart = _point(layout="prefill:2xtp2+decode:1xdp8ep8", roles=roles, accelerators=12)
    rows, text = _render(_point({**METRICS, **every}), apart, _point(speculation=None))
    for row in rows:
        assert set(row) - ACCEPTED == set()
    assert {f"{s}_{t}" for s in STATISTICS for t in TIMES} <= set(rows[0])
    assert rows[0]["num_gpus"] == 8 and rows[0]["tp"] * rows[0]["ep"] == 64
    assert "1 do not say whether they speculate: InferenceX reads none" in text


def test_roles_apart() -> None:
    """Degrees, workers and accelerators of each role; throughput per accelerator of the role."""
    metrics = {
        "total_tok_s_per_accelerator.whole": 900.0,
        "input_tok_s_per_prefill_accelerator.whole": 2400.0,
        "output_tok_s_per_decode_accelerator.whole": 150.0,
        "energy_j_per_input_token.prefill": 0.2,
        "energy_j_per_output_token.accelerator": 9.0,
        "power_w.accelerator": 4800.0,
    }
    layout = "prefill:2xtp2+decode:1xdp8ep8"
    roles = FrozenMap({"prefill": 4, "decode": 8})
    ((row,), _) = _render(_point(metrics, layout=layout, roles=roles, accelerators=12))
    assert tuple(row)[: len(COMMON + MULTI)] == COMMON + MULTI
    assert row["disagg"] is True and row["is_multinode"] is True
    assert [row[f"prefill_{key}"] for key in (*SINGLE, "num_workers")] == [
        2,
        1,
        1,
        1,
        1,
        "false",
        2,
    ]
    assert [row[f"decode_{key}"] for key in (*SINGLE, "num_workers")] == [8, 1, 1, 1, 8, "true", 1]
    assert (row["num_prefill_gpu"], row["num_decode_gpu"]) == (4, 8)
    assert (row["input_tput_per_gpu"], row["output_tput_per_gpu"]) == (2400.0, 150.0)
    assert row["prefill_joules_per_input_token"] == 0.2
    assert row["joules_per_output_token"] == 9.0 and "joules_per_input_token" not in row


def test_power_that_was_not_measured() -> None:
    """As in the original, the row says so."""
    without = {name: value for name, value in METRICS.items() if "_w." not in name}
    ((row,), _) = _render(_point(without))
    assert row["power_valid"] == 0 and not any("joules" in key for key in row)


def test_power_that_failed_its_check_is_left_out() -> None:
    """As the original does: the verdict stays, the metrics go."""
    check = Check(name="telemetry", outcome=CheckOutcome.FLAGGED, evidence="a gap of 9 s")
    ((row,), text) = _render(_point(checks=(check,), measurement=Measurement.FLAGGED))
    assert row["power_valid"] == 0 and "avg_power_w" not in row
    assert "1 flagged: the format has no key for it" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": PointState.STALLED}, "the point is stalled"),
        ({"measurement": Measurement.INVALID}, "the measurement is invalid"),
        ({"accuracy": Accuracy.FAIL}, "the accuracy failed"),
        ({"level": LoadLevel(rate_per_s=2.0, arrival="poisson")}, "the load is an arrival rate"),
        ({"workload_options": FrozenMap()}, "its workload has no input_tokens"),
        ({"metrics": FrozenMap()}, "its total throughput per accelerator was not measured"),
        ({"layout": "unknown"}, "its layout is unknown"),
        ({"accelerators": 16}, "its layout has another number of accelerators"),
        (
            {"roles": FrozenMap({"prefill": 4, "decode": 4})},
            "its layout and its roles do not agree",
        ),
        ({"layout": "tp4dp2"}, "it has data parallelism without expert parallelism"),
    ],
)
def test_what_the_format_cannot_say_is_left_out(changes: dict[str, Any], reason: str) -> None:
    """The printed text has the reason and the point."""
    rows, text = _render(_point(), _point(**changes))
    assert len(rows) == 1
    assert f"left out, because {reason}" in text


def test_another_workload_is_named() -> None:
    """Rows of another protocol are written, with a warning."""
    other = FrozenMap(input_tokens=8192, output_tokens=1024)
    rows, text = _render(_point(workload_options=other))
    assert len(rows) == 1 and "1 with another workload than InferenceX's" in text


def test_layouts() -> None:
    """Ours (`dpa8`) and those of imported rows (`dpa`, a role without workers)."""
    (one,) = parse("tp4pp2pcp2dcp4ep16dpa").values()
    assert (one.tp, one.pp, one.pcp, one.dcp, one.ep, one.attention_dp) == (4, 2, 2, 4, 16, True)
    assert one.accelerators == 16 and one.workers is None
    assert set(parse("prefill:tp1+decode:3xtp8")) == {"prefill", "decode"}
    for wrong in ("", "tp", "x2tp4", "tp4+", "tp4 ", "np2"):
        with pytest.raises(LeftOut):
            parse(wrong)
