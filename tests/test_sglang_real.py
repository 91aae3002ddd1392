"""Real SGLang on CPU, without its compiled kernels: counts and cached tokens are the server's own.

``make real-sglang`` installs it and ``make test-sglang`` runs these tests, one server at a time.
They need the environment in SGLANG_VENV, and are skipped without. The kernels are PyTorch's own:
these tests compare counts, and say nothing about speed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import yaml
from lost_server import MOMENTS, lose
from processes import marked

if TYPE_CHECKING:
    from tests_bench import Bench

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ROOT / "plugins/engines/sglang/src/tokenbench_engine_sglang"
pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
_LIMIT_S = 1400.0
_REQUESTS, _PREFIX = 8, 448
# Beyond the least context that the plugin asks for, so that SGLang's own margin is needed.
_SHARED = {"input_tokens": 600, "prefix_tokens": _PREFIX, "output_tokens": 16}
# What needs no compiled kernels.
_OPTIONS = {
    "load_format": "dummy",
    "dtype": "float32",
    "attention_backend": "torch_native",
    "cuda_graphs": False,
    "overlap_schedule": False,
    "kv_cache_tokens": 16384,
}
_FLAGS = {"--sampling-backend": "pytorch", "--grammar-backend": "none"}


@pytest.fixture(scope="module")
def sglang() -> Path:
    """The interpreter of a real SGLang."""
    folder = os.environ.get("SGLANG_VENV")
    if not folder:
        pytest.skip("SGLANG_VENV names no environment with SGLang: make real-sglang")
    python = Path(folder).absolute() / "bin" / "python"
    assert python.exists(), f"no interpreter in SGLANG_VENV={folder}"
    return python


def _suite(sglang: Path, model: str | None = None, **more: Any) -> dict[str, Any]:
    folder = sglang.parent.parent / "models" / "tiny-qwen3"
    deployment = {
        "engine": {"sglang": {"python": str(sglang), **_OPTIONS, **more.get("engine", {})}},
        "model": {"hf": {"path": model or str(folder)}},
        "roles": {"server": {"flags": {**_FLAGS, **more.get("flags", {})}}},
        "pools": [{"role": "server", "replicas": more.get("replicas", 1)}],
    }
    return {
        "version": 1,
        "seed": 7,
        "deployments": [deployment],
        "workloads": [{"random": more.get("workload", _SHARED)}],
        "load": {"concurrency": [2], "requests": _REQUESTS, "repeats": 1, **more.get("load", {})},
        "reporters": ["files"],
    }


def _write(bench: Bench, suite: dict[str, Any]) -> None:
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))


def _measured(bench: Bench, suite: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """The one result of a run, and the servers' counters: those after it minus those before it."""
    _write(bench, suite)
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=_LIMIT_S)
    assert done.code == 0, done.err
    run = bench.run_directory
    (result,) = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    assert result["state"] == "done", done.err
    (file,) = run.glob("points/*/repeat-0/counters.json")
    counted = json.loads(file.read_text())
    return result, {
        name: value - (counted["before"][name] or 0.0)
        for name, value in counted["after"].items()
        if isinstance(value, float)
    }


def _by_process(bench: Bench, name: str) -> dict[tuple[str, int], float]:
    """What each process counted during the repeat, by role and replica."""
    (file,) = bench.run_directory.glob("points/*/repeat-0/counters.parquet")
    values: dict[tuple[str, int], list[float]] = {}
    for row in pq.read_table(file).to_pylist():
        if row["role"] is not None and row[name] is not None:
            values.setdefault((row["role"], row["index"]), []).append(row[name])
    return {process: found[-1] - found[0] for process, found in values.items()}


def _metric(result: dict[str, Any], name: str) -> float:
    return float(result["metrics"][name]["mean"])


def _agrees(result: dict[str, Any], server: dict[str, float]) -> None:
    """Client and server counted the same tokens: what was asked for."""
    (agreement,) = (check for check in result["checks"] if check["name"] == "server agreement")
    assert agreement["outcome"] == "ok" and agreement["value"] == 0.0, agreement
    asked = _REQUESTS * _SHARED["input_tokens"], _REQUESTS * _SHARED["output_tokens"]
    assert (_metric(result, "input_tokens"), _metric(result, "output_tokens")) == asked
    assert (server["prompt_tokens"], server["generated_tokens"]) == asked
    assert server["requests"] == _REQUESTS


@pytest.mark.parametrize(("program", "file"), [("server", "flags.json"), ("router", "router.json")])
def test_the_flags_are_those_of_this_sglang(
    bench: Bench, sglang: Path, program: str, file: str
) -> None:
    """The plugin's files, written by the tool with this version, are what it writes again."""
    done = subprocess.run(
        [str(sglang), str(ROOT / "tools" / "capture_sglang_flags.py"), program],
        capture_output=True,
        text=True,
        timeout=300,
        env=bench.environment(HF_HUB_OFFLINE="1"),
        check=True,
    )
    found, stored = json.loads(done.stdout), json.loads((FLAGS / file).read_text())
    if found["version"] != stored["version"]:
        pytest.skip(f"this is {found['version']}, the file is of {stored['version']}")
    for one in (found, stored):
        del one["date"]
        for flag in one["flags"]:  # SGLang has some of them as sets.
            flag["choices"] = sorted(map(str, flag.get("choices", ())))
    assert found == stored


@pytest.mark.proves("sglang", "server", "cpu", "counters", "prefix_caching_off")
def test_radix_cache_off(bench: Bench, sglang: Path) -> None:
    """Prompts and answers have the asked lengths, up to the end of the context; what all prompts
    share is computed each time.
    """
    result, server = _measured(bench, _suite(sglang))
    _agrees(result, server)
    assert server["cached_prompt_tokens"] == 0
    assert _metric(result, "cached_input_share") == 0
    assert re.fullmatch(r"sglang 0\.\d+\.\d+", result["engine_version"])
    facts = json.loads((bench.run_directory / "provenance.json").read_text())
    disabled = [value for name, value in facts.items() if name.endswith(".disable_radix_cache")]
    assert disabled == ["True"]
    assert bench.all_gone(), bench.left_running()


@pytest.mark.proves("sglang", "reset_cache")
def test_radix_cache_on(bench: Bench, sglang: Path) -> None:
    """What prompts share is read from the cache, and the share in usage is the server's."""
    result, server = _measured(bench, _suite(sglang, load={"prefix_caching": True}))
    _agrees(result, server)
    # It is emptied before a repeat: the first requests, sent at once, find nothing in it.
    assert 6 * _PREFIX <= server["cached_prompt_tokens"] <= 7 * _PREFIX + _REQUESTS * 8
    share = server["cached_prompt_tokens"] / server["prompt_tokens"]
    assert _metric(result, "cached_input_share") == pytest.approx(share, abs=1e-9)


def test_two_servers_behind_the_router(bench: Bench, sglang: Path) -> None:
    """Each got requests, and both together what was sent. The router takes texts only."""
    result, server = _measured(bench, _suite(sglang, replicas=2))
    served = _by_process(bench, "requests")
    assert set(served) == {("server", 0), ("server", 1)}
    assert all(served.values()) and sum(served.values()) == server["requests"] == _REQUESTS, served
    for name, metric in (("prompt_tokens", "input_tokens"), ("generated_tokens", "output_tokens")):
        assert sum(_by_process(bench, name).values()) == server[name] == _metric(result, metric)
    assert _metric(result, "output_tokens") == _REQUESTS * _SHARED["output_tokens"]
    assert bench.all_gone(), bench.left_running()


@pytest.mark.proves("sglang", "dp")
def test_data_parallel_replicas(bench: Bench, sglang: Path) -> None:
    """Two schedulers in one server: requests are counted once, capacities are added."""
    # Without it, SGLang wants a NUMA node for each rank.
    suite = _suite(sglang, engine={"cpu_binding": "0|1"})
    (deployment,) = suite["deployments"]
    deployment["pools"] = [{"role": "server", "topology": {"dp": 2}}]
    result, server = _measured(bench, suite)
    _agrees(result, server)
    (file,) = bench.run_directory.glob("points/*/repeat-0/counters.json")
    after = json.loads(file.read_text())["after"]
    assert after["kv_capacity_tokens"] == 2 * _OPTIONS["kv_cache_tokens"]
    assert (after["running"], after["waiting"]) == (0, 0)
    assert bench.all_gone(30), bench.left_running()


def _processes(bench: Bench) -> Iterator[tuple[int, str]]:
    for pid, words in marked(bench.mark).items():
        yield pid, " ".join(words)


def _server(bench: Bench) -> int | None:
    """The server's first process: its own command line, not that of its supervisor."""
    own = re.compile(r"^\S*python\S* -m sglang\.launch_server ")
    return min((pid for pid, command in _processes(bench) if own.match(command)), default=None)


@MOMENTS
def test_a_server_is_lost(
    bench: Bench, sglang: Path, moment: str, number: signal.Signals, says: str
) -> None:
    """At each phase: the error says which process it was and what happened to it."""
    lose(
        bench,
        _suite(sglang, load={"requests": 200}),
        find=lambda: _server(bench),
        moment=moment,
        loads="Init parallel begin",
        number=number,
        says=says,
    )


def test_an_unknown_flag(bench: Bench, sglang: Path) -> None:
    """The cause is shown in two lines."""
    _refused(bench, _suite(sglang, flags={"--no-such-flag": 3}), "does not know the arguments")


def test_a_port_that_is_taken(bench: Bench, sglang: Path) -> None:
    """Before SGLang starts."""
    suite = _suite(sglang)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        suite["deployments"][0]["port"] = taken.getsockname()[1]
        _refused(bench, suite, "is in use by python")


def _refused(bench: Bench, suite: dict[str, Any], says: str) -> None:
    _write(bench, suite)
    done = bench("run", "suite.yaml", timeout_s=_LIMIT_S)
    assert done.code == 5, done.err
    error, _ = done.complaint
    assert says in error, done.err
    assert bench.all_gone(30), bench.left_running()


def test_a_wrong_model(bench: Bench, sglang: Path) -> None:
    """A folder that holds no weights: the cause is shown in two lines."""
    suite = _suite(sglang, engine={"load_format": "auto"})
    _refused(bench, suite, "there are no weights in")
