"""`bench run` end to end, on a real engine with a real model and on a scripted server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests_bench import SITE, measured

from tokenbench.store.layout import RunDirectory
from tokenbench.store.view import read_view

QUICK = ("--workload", "random:input_tokens=16,output_tokens=8", "--duration", "0.4")


@pytest.mark.real
@pytest.mark.proves("llamacpp", "server", "cpu", "counters")
def test_real_model(bench, weights: Path) -> None:
    """Two load levels, an eval and both reporters; every file is in the run directory."""
    done = bench(
        *("run", "--engine", "llamacpp", "--model", "smollm2", "--hardware", "cpu"),
        *("--workload", "random:input_tokens=24,output_tokens=8", "--concurrency", "1,2"),
        *("--requests", "3", "--repeats", "2", "--eval", "demo:limit=2"),
        *("--reporter", "console", "--reporter", "files", "--allow-invalid"),
    )
    assert done.code == 0, done.err
    results = measured(bench)
    assert [r["level"]["concurrency"] for r in results] == [1, 2]
    for result in results:
        _agrees(result, requests=3, n_in=24, n_out=8)
        assert result["engine_version"].startswith("xllamacpp")
        assert [e["eval"] for e in result["evals"]] == ["demo"]
        assert result["speculation"] == "none"
    run = bench.run_directory
    assert done.out.strip().splitlines()[-1] == f"run directory: runs/{run.name}"
    for name in ("suite.json", "plan.json", "provenance.json", "run.json", "results.parquet"):
        assert (run / name).stat().st_size > 0
    for name in ("results.json", "results.csv"):
        assert (run / "reports" / name).stat().st_size > 0
    table = pq.read_table(run / "results.parquet")
    assert table.num_rows == 2
    assert table["output_tok_s.whole"].to_pylist()[0] > 0
    records = pq.read_table(next(run.glob("points/*/repeat-1/records.parquet")))
    assert set(records["n_out"].to_pylist()) == {8}
    facts = json.loads((run / "provenance.json").read_text())
    assert "plugin.engine.llamacpp" in facts
    assert read_view(RunDirectory.open(run)).architectures["smollm2"].layers == 30
    assert any("utilization" in f.read_text() for f in run.glob("telemetry/*/*.jsonl"))
    assert "listening on" in next(run.glob("logs/*/server-0.log")).read_text()


def _agrees(result: dict, *, requests: int, n_in: int, n_out: int) -> None:  # type: ignore[type-arg]
    """Client and server count the same tokens, and as many as requested."""
    checks = {check["name"]: check for check in result["checks"]}
    agreement = checks["server agreement"]
    assert agreement["outcome"] == "ok", agreement
    assert agreement["value"] == 0.0, agreement
    assert result["metrics"]["input_tokens"]["values"] == [requests * n_in] * 2
    assert result["metrics"]["output_tokens"]["values"] == [requests * n_out] * 2
    assert checks["lengths"]["outcome"] == "ok"
    assert checks["prefix cache"]["outcome"] == "ok"


@pytest.mark.real
def test_gsm8k_through_the_harness(
    bench, weights: Path, shared_data: Callable[[str], Path]
) -> None:
    """lm-eval reads a local file and queries the server: its smallest context is large enough."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    data = shared_data("evals/gsm8k_test.jsonl")
    done = bench(
        *("run", "--engine", "llamacpp", "--model", "smollm2", *QUICK),
        *("--eval", f"gsm8k:data={data},limit=2,shots=0,max_tokens=24", "--allow-invalid"),
        timeout_s=200,
    )
    assert done.code == 6, done.err
    (outcome,) = measured(bench)[0]["evals"]
    assert outcome["n"] == 2
    assert outcome["variant"].startswith("gsm8k_cot_zeroshot v3.0")
    assert outcome["metric"] == "exact_match,flexible-extract"
    # Two questions cannot pass 0.9, but none right of two is below it.
    assert outcome["accuracy"] == "fail"
    assert not outcome["twin_settings"]
    samples = next(bench.run_directory.glob("evals/*/gsm8k/samples.jsonl")).read_text()
    assert len(samples.splitlines()) == 2


def test_one_server_for_all_points(bench) -> None:
    """It is started once for all load levels and workloads."""
    done = bench(
        *("run", "--engine", "scripted", *QUICK, "--concurrency", "1,2,3", "--allow-invalid"),
        *("--workload", "random:input_tokens=8,output_tokens=4"),
    )
    assert done.code == 0, done.err
    assert len(measured(bench)) == 6
    assert done.err.count("starting the server") == 1


def test_invalid_measurement(bench) -> None:
    """Wrong lengths are exit code 6, or 0 with --allow-invalid. The report hides the point."""
    # Slow enough that a busy machine does not merge tokens.
    script = "--extra-tokens 3 --ttft-s 0.15 --itl-s 0.02"
    # The other tests of this run are foreign load.
    (bench.folder / "s.yaml").write_text(
        f"deployments: [{{engine: {{scripted: {{script: {script!r}}}}}}}]\n"
        "workloads: [{random: {input_tokens: 20, output_tokens: 10}}]\n"
        "load: {concurrency: [2], requests: 12}\n"
        "certification: {foreign_load: {invalid: null}}\n"
    )
    args = ("run", "s.yaml")
    done = bench(*args)
    assert done.code == 6
    assert "lengths" in done.complaint[0]
    (result,) = measured(bench)
    bad = [c["name"] for c in result["checks"] if c["outcome"] in ("flagged", "invalid")]
    # On a busy machine the client may be late as well.
    busy = ("client", "foreign")
    assert [name for name in bad if not name.startswith(busy)] == ["lengths"]
    assert "hidden: c2 (invalid)" in done.out
    allowed = bench(*args, "--allow-invalid")
    assert (allowed.code, "hidden: c2 (invalid)" in allowed.out) == (0, True), allowed.err


def test_plan_is_reproducible(cli, tmp_path: Path) -> None:
    """The same arguments give the same identities, another seed gives others."""
    args = ("plan", "--engine", "scripted", *QUICK, "--concurrency", "1,2", "--json")
    first, second = cli(*args), cli(*args)
    assert first.code == 0, first.err
    assert first.out == second.out
    assert not (tmp_path / "runs").exists()
    ids = [point["id"] for point in json.loads(first.out)["deployments"][0]["points"]]
    assert len(set(ids)) == 2
    other = cli(*args, "--seed", "1")
    assert other.code == 0, other.err
    assert all(identity not in other.out for identity in ids)


def test_explain_names_the_origin_of_each_setting(cli, tmp_path: Path) -> None:
    """A flag of the suite replaces the engine's."""
    (tmp_path / "suite.yaml").write_text(
        "version: 1\ndeployments: [{engine: llamacpp, model: smollm2, flags: {--threads: 1}}]\n"
    )
    done = cli("plan", "suite.yaml", "--explain")
    assert "server flag --threads = 1  [suite: suite]" in done.out
    assert "replaced '{cpus}' (engine: llamacpp)" in done.out


def test_report_of_a_finished_run(bench) -> None:
    """With another reporter, and for several runs at once: in a directory of their own."""
    assert bench("run", "--engine", "scripted", *QUICK, "--allow-invalid").code == 0
    run = str(bench.run_directory)
    again = bench("report", run, run, "--reporter", "files:formats=csv")
    assert again.code == 0
    (file,) = (bench.folder / "reports").rglob("results.csv")
    assert len(file.read_text().splitlines()) == 3


def test_metrics_and_version(cli) -> None:
    """The short commands."""
    assert "ttft_s.p50" in cli("metrics", "ttft").out
    assert cli("--version").out.startswith("bench, version 0.")


def test_uninstalled_plugin(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not listed and not found, as with --no-plugin."""
    assert " scripted " in cli("plugins").out
    assert " scripted " not in cli("--no-plugin", "scripted", "plugins").out
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(SITE)])
    assert " scripted " not in cli("plugins").out
    done = cli("plan", "--engine", "scripted")
    assert done.code == 2
    assert "unknown engine 'scripted'" in done.complaint[0]


@pytest.mark.covers("Codec.encode", "Codec.classify")
def test_codec_of_a_plugin(bench) -> None:
    """An engine with its own protocol has every metric, including the ITL per token."""
    engine = "scripted:codec=scripted-lines,script='--itl-s 0.01'"
    done = bench("run", "--engine", engine, *QUICK, "--concurrency", "2", "--allow-invalid")
    assert done.code == 0, done.err
    (result,) = measured(bench)
    assert result["state"] == "done"
    agreement = next(c for c in result["checks"] if c["name"] == "server agreement")
    assert (agreement["outcome"], agreement["value"]) == ("ok", 0.0)
    tpot = result["metrics"]["tpot_s.p50"]["mean"]
    itl = result["metrics"]["itl_token_s.p50"]["mean"]
    assert 0.01 <= tpot < 0.04
    assert 0.01 <= itl < 0.04


@pytest.mark.covers("Engine.worker")
def test_engine_wraps_the_worker_of_another(bench) -> None:
    """Through `context.engine`, as Dynamo and llm-d do; the worker gets the added flag."""
    done = bench("run", "--engine", "wrapping", *QUICK, "--allow-invalid")
    assert done.code == 0, done.err
    (result,) = measured(bench)
    assert (result["engine"], result["state"]) == ("wrapping", "done")
    assert result["metrics"]["tpot_s.p50"]["mean"] >= 0.004


@pytest.mark.covers("bench_amend_launch")
def test_amendment_changes_the_launch(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The explanation gives its reason, and the points get another identity."""
    args = ("plan", "--engine", "scripted", *QUICK)
    (identity,) = re.findall(r"point ([0-9a-f]{16})", cli(*args).out)
    monkeypatch.setenv("TOKENBENCH_TEST_AMEND", "1")
    amended = cli(*args, "--explain")
    assert "[amendment: tokenbench_test_plugins: the test wants it slower]" in amended.out
    assert "--itl-s 0.05" in amended.out
    assert identity not in amended.out
