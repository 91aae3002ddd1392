"""Real vLLM on CPU: counts, cache shares and acceptance lengths are the server's own.

``make real-vllm`` installs it and ``make test-vllm`` runs these tests, one server at a time. They
need the environment in VLLM_VENV, and are skipped without. Figures of a shared machine say nothing
about speed; these tests compare counts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests_bench import Bench, Done

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ROOT / "plugins/engines/vllm/src/tokenbench_engine_vllm/flags.json"
pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
_LIMIT_S = 1400.0
_SERVED = "smollm2-135m"


@pytest.fixture(scope="module")
def vllm() -> Path:
    """The interpreter of a real vLLM."""
    folder = os.environ.get("VLLM_VENV")
    if not folder:
        pytest.skip("VLLM_VENV names no environment with vLLM: make real-vllm, make test-vllm")
    python = Path(folder).absolute() / "bin" / "python"
    assert python.exists(), f"no interpreter in VLLM_VENV={folder}"
    return python


def _model(python: Path, name: str) -> str:
    return f"hf:path={python.parent.parent / 'models' / name}"


def _suite(
    vllm: Path,
    model: str = "smollm2-135m",
    *,
    engine: dict[str, Any] | None = None,
    workload: dict[str, Any],
    load: dict[str, Any] | None = None,
    topology: dict[str, int] | None = None,
) -> dict[str, Any]:
    options = {"python": str(vllm), "enforce_eager": True, **(engine or {})}
    deployment = {
        "engine": {"vllm": options},
        "model": {"hf": {"path": str(vllm.parent.parent / "models" / model)}},
        # Without it, functions that vLLM compiles on first use take 20 s within a request.
        "environment": {"TORCHDYNAMO_DISABLE": "1"},
        "topology": topology or {"tp": 1},
    }
    return {
        "version": 1,
        "seed": 7,
        "deployments": [deployment],
        "workloads": [{"random": workload}],
        "load": {"concurrency": [2], "requests": 8, "repeats": 1, **(load or {})},
        "reporters": ["files"],
    }


def _measured(bench: Bench, suite: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one result of a run, and the server's counters: those after it minus those before it."""
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=_LIMIT_S)
    assert done.code == 0, done.err
    return _result(bench, done)


def _result(bench: Bench, done: Done) -> tuple[dict[str, Any], dict[str, Any]]:
    (run,) = (bench.folder / "runs").iterdir()
    (result,) = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    assert result["state"] == "done", done.err
    (file,) = run.glob("points/*/repeat-0/counters.json")
    counted = json.loads(file.read_text())
    before, after = counted["before"], counted["after"]
    return result, {
        name: value - (before[name] or 0.0)
        for name, value in after.items()
        if isinstance(value, float)
    }


def _metric(result: dict[str, Any], name: str) -> float:
    return float(result["metrics"][name]["mean"])


def _check(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return dict(found)


def _agrees(result: dict[str, Any], server: dict[str, Any], *, n_in: int, n_out: int) -> None:
    """Client and server counted the same tokens: what was asked for."""
    agreement = _check(result, "server agreement")
    assert agreement["outcome"] == "ok" and agreement["value"] == 0.0, agreement
    assert _metric(result, "input_tokens") == server["prompt_tokens"] == 8 * n_in
    assert _metric(result, "output_tokens") == server["generated_tokens"] == 8 * n_out
    assert server["requests"] == 8


def test_the_flags_are_those_of_this_vllm(bench: Bench, vllm: Path) -> None:
    """The plugin's file, written by the tool with this version, is what the tool writes again."""
    done = subprocess.run(
        [str(vllm), str(ROOT / "tools" / "capture_vllm_flags.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env=bench.environment(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1"),
        check=True,
    )
    found, stored = json.loads(done.stdout), json.loads(FLAGS.read_text())
    if found["version"] != stored["version"]:
        pytest.skip(f"this is vLLM {found['version']}, the file is of {stored['version']}")
    for one in (found, stored):
        del one["date"]
    assert found == stored


@pytest.mark.proves("vllm", "server", "cpu", "bf16", "counters", "prefix_caching_off")
def test_aggregated(bench: Bench, vllm: Path) -> None:
    """Prompts and answers have the asked lengths. The prefix cache is off: 256 tokens that all
    prompts share, two blocks of 128, are computed each time.
    """
    shared = {"input_tokens": 300, "prefix_tokens": 256, "output_tokens": 16}
    result, server = _measured(bench, _suite(vllm, workload=shared))
    _agrees(result, server, n_in=300, n_out=16)
    assert server["cached_prompt_tokens"] == 0
    assert _metric(result, "cached_input_share") == 0
    assert _check(result, "prefix cache")["value"] == 0
    assert re.fullmatch(r"vllm 0\.\d+\.\d+", result["engine_version"])


@pytest.mark.proves("vllm", "reset_cache")
def test_prefix_cache(bench: Bench, vllm: Path) -> None:
    """With the cache on, the shared blocks are read from it; the share in usage is the server's."""
    shared = {"input_tokens": 300, "prefix_tokens": 256, "output_tokens": 16}
    suite = _suite(vllm, workload=shared, load={"prefix_caching": True})
    result, server = _measured(bench, suite)
    _agrees(result, server, n_in=300, n_out=16)
    # The cache is emptied before a repeat: the first requests, sent at once, find nothing in it.
    assert 6 * 256 <= server["cached_prompt_tokens"] <= 7 * 256
    share = server["cached_prompt_tokens"] / server["prompt_tokens"]
    assert _metric(result, "cached_input_share") == pytest.approx(share, abs=1e-9)


@pytest.mark.proves("vllm", "dp")
def test_data_parallel(bench: Bench, vllm: Path) -> None:
    """Two ranks behind one server: the counters of both are added."""
    suite = _suite(
        vllm,
        "tiny-qwen3",
        engine={"load_format": "dummy", "cpu_threads": 1},
        topology={"dp": 2},
        workload={"input_tokens": 64, "output_tokens": 16},
    )
    result, server = _measured(bench, suite)
    _agrees(result, server, n_in=64, n_out=16)
    assert result["accelerators"] == 2
    (log,) = bench.folder.glob("runs/*/logs/*/server-0.log")
    assert "EngineCore_DP1" in log.read_text()


@pytest.mark.proves("vllm", "ngram")
def test_ngram_speculation(bench: Bench, vllm: Path) -> None:
    """The acceptance length is one token and what was accepted per draft, by vLLM's counters."""
    suite = _suite(
        vllm,
        engine={"speculation": "ngram", "speculative_tokens": 3},
        workload={"input_tokens": 200, "output_tokens": 64},
    )
    result, server = _measured(bench, suite)
    _agrees(result, server, n_in=200, n_out=64)
    assert server["drafts"] > 0
    assert server["draft_tokens"] <= 3 * server["drafts"]
    own = 1 + server["accepted_draft_tokens"] / server["drafts"]
    assert _metric(result, "acceptance_length.server") == pytest.approx(own)
    (run,) = (bench.folder / "runs").iterdir()
    facts = json.loads((run / "provenance.json").read_text())
    assert "real" in [value for name, value in facts.items() if name.endswith(".acceptance")]


@pytest.fixture
def served(bench: Bench, vllm: Path) -> Iterator[str]:
    """The address of a server that was started with the commands of ``bench plan --commands``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = bench(
        "plan",
        *("--engine", f"vllm:python={vllm},enforce_eager=true"),
        *("--model", _model(vllm, _SERVED), "--commands", "--concurrency", "4"),
        *("--workload", "random:input_tokens=64,output_tokens=32"),
    )
    assert done.code == 0, done.err
    values = {
        "{host}": "127.0.0.1",
        "{port:http}": str(port),
        "{weights}": str(vllm.parent.parent / "models" / _SERVED),
    }
    command = done.out
    for symbol, value in values.items():
        command = command.replace(symbol, value)
    log = bench.folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=bench.environment(TORCHDYNAMO_DISABLE="1", TMPDIR=str(bench.folder)),
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 600
        while not _up(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        # Worker processes outlive the server for a moment.
        deadline = time.monotonic() + 30
        while not bench.all_gone() and time.monotonic() < deadline:
            time.sleep(0.2)


def _up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _generated(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as reply:
        page = reply.read().decode()
    found = re.findall(r"^vllm:generation_tokens_total\{.*\} (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))


def test_beside_vllm_bench_serve(bench: Bench, vllm: Path, served: str) -> None:
    """The same load on the same server: both clients count 16 answers of 32 tokens, and the server
    confirms it. Their figures are printed (-s), not compared: the machine may be shared.
    """
    before = _generated(served)
    theirs = _vllm_bench_serve(bench, vllm, served)
    between = _generated(served)
    assert theirs["completed"] == 16
    # One request more: it first asks whether the server answers.
    assert theirs["total_output_tokens"] == 16 * 32
    assert between - before in (16 * 32, 17 * 32)

    folder = vllm.parent.parent / "models" / _SERVED
    done = bench(
        "run",
        *("--engine", f"openai:base_url={served},model={_SERVED},server=vllm,tokenizer={folder}"),
        *("--workload", "random:input_tokens=64,output_tokens=32", "--concurrency", "4"),
        *("--requests", "16", "--repeats", "1", "--seed", "7", "--allow-invalid"),
        timeout_s=_LIMIT_S,
    )
    assert done.code == 0, done.err
    ours, server = _result(bench, done)
    assert server["generated_tokens"] == _metric(ours, "output_tokens") == 16 * 32
    for name, mine, other in (
        ("output tokens/s", "output_tok_s.whole", theirs["output_throughput"]),
        ("mean TTFT, s", "ttft_s.mean", theirs["mean_ttft_ms"] / 1e3),
        ("mean TPOT, s", "tpot_s.mean", theirs["mean_tpot_ms"] / 1e3),
    ):
        value = ours["metrics"].get(mine)
        print(f"{name}: bench {value and value['mean']}, vllm bench serve {other}", file=sys.stderr)


def _vllm_bench_serve(bench: Bench, vllm: Path, url: str) -> dict[str, Any]:
    file = bench.folder / "theirs.json"
    subprocess.run(
        [
            *(str(vllm), "-m", "vllm.entrypoints.cli.main", "bench", "serve"),
            *("--backend", "openai", "--base-url", url, "--model", _SERVED),
            *("--tokenizer", str(vllm.parent.parent / "models" / _SERVED)),
            *("--dataset-name", "random", "--random-input-len", "64", "--random-output-len", "32"),
            *("--num-prompts", "16", "--max-concurrency", "4", "--ignore-eos"),
            *("--temperature", "0", "--save-result", "--result-filename", str(file)),
        ],
        check=True,
        capture_output=True,
        timeout=_LIMIT_S,
        cwd=bench.folder,
        env=bench.environment(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1"),
    )
    found: dict[str, Any] = json.loads(file.read_text())
    return found
