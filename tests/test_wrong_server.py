"""Servers that are not as the user thinks, start slowly, or die: what `bench run` says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests_bench import measured, wait_for

from tokenbench.launch.ports import free_port

FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "wrong_server.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wrong_server", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wrong = _load()


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """The mistakes of the benchmark, with their servers."""
    with wrong.mistakes(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("wrong path", 5, "/v1: use http://127"),
        ("wrong model", 5, "it serves right-model"),
        ("context too small", 6, "shorter prompts"),
        ("health fails", 5, "kind of server"),
        ("http for https", 5, "write https://"),
    ],
)
def test_mistakes(
    mistakes: dict[str, dict[str, Any]], tmp_path: Path, name: str, code: int, hint: str
) -> None:
    """The cause is the error, the remedy the hint, and nothing waits for the start's time limit."""
    if name not in mistakes:
        pytest.skip("no openssl command")
    row = wrong.attempt(tmp_path, **mistakes[name], start_timeout_s=300)
    assert mistakes[name]["cause"] in row["error"], row
    assert (row["code"], hint in row["hint"]) == (code, True), row


def test_a_server_that_starts_is_waited_for(bench) -> None:
    """404 (no worker yet), 429 and 503 are answers of a server that starts."""
    statuses = iter([404, 503, 429])

    def starts(handler: Any) -> bool:
        status = next(statuses, None) if handler.command == "POST" else None
        if status is not None:
            handler.reply(status, {"message": "Model not found" if status == 404 else "not yet"})
        return status is not None

    with wrong.serving(starts) as address:
        engine = f"openai:base_url=http://{address},model={wrong.MODEL},api_key_env=KEY"
        work = ("--workload", "random:input_tokens=8,output_tokens=4", "--requests", "4")
        done = bench("run", "--engine", engine, *work, "--allow-invalid", KEY=wrong.KEY)
    assert done.code == 0, done.err


def test_a_server_that_dies_ends_the_run(bench) -> None:
    """Exit code 5 soon, few connects, and the first level is kept."""
    port = free_port()
    command = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(server, "listening")
    engine = f"openai:base_url=http://127.0.0.1:{port},model=m"
    work = ("--workload", "random:input_tokens=8,output_tokens=8", "--duration", "1.5")
    process = bench.start("run", "--engine", engine, *work, "--concurrency", "1,2,4,8")
    try:
        wait_for(process, "event=point load=c1")
        wait_for(process, "repeat 1/1")
    finally:
        server.kill()
        server.communicate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    error, hint = err.strip().splitlines()[-2:]
    assert f"nothing listens at http://127.0.0.1:{port}" in error and "start it again" in hint
    assert [result["state"] for result in measured(bench)] == ["done", "failed"]
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "failed"
    phases = sorted(bench.run_directory.glob("points/*c2*/repeat-0/phase.json"))
    failed = [json.loads(file.read_text())["failed"] for file in phases]
    assert sum(failed) <= 2 * 12, failed


def test_a_rejected_point_does_not_end_the_run(bench) -> None:
    """Of two workloads the server takes one; the exit code is that of the other."""
    suite = {
        "deployments": [{"engine": {"openai": {"model": wrong.MODEL, "api_key_env": "KEY"}}}],
        "workloads": [
            {"random": {"input_tokens": tokens, "output_tokens": 4}} for tokens in (100, 8)
        ],
        "load": {"concurrency": [2], "requests": 8, "lengths": "approximate"},
    }
    with wrong.serving() as address:
        suite["deployments"][0]["engine"]["openai"]["base_url"] = f"http://{address}"  # type: ignore[index]
        (bench.folder / "suite.yaml").write_text(json.dumps(suite))
        done = bench("run", "suite.yaml", KEY=wrong.KEY)
    assert done.code == 6
    assert "all 4 requests of the warm-up failed" in done.complaint[0]
    assert "maximum context length is 64 tokens" in done.complaint[0]
    assert [result["state"] for result in measured(bench)] == ["failed", "done"]
