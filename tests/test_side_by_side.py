"""Nothing overwrites anything: servers, deployments and runs that are alike; seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_bench import measured, wait_for

from tokenbench.launch.ports import free_port

LOAD = "load: {concurrency: [1], requests: 4}\ncertification: {foreign_load: {invalid: null}}\n"
WORK = "workloads: [{random: {input_tokens: 16, output_tokens: 8}}]\n"
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted server; returns its address."""
    servers: list[subprocess.Popen[str]] = []

    def started(*options: str) -> str:
        port = free_port()
        command = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
        server = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        servers.append(server)
        wait_for(server, "listening")
        return f"127.0.0.1:{port}"

    yield started
    for server in servers:
        server.kill()
        server.communicate()


def _openai(address: str, model: str = "m") -> str:
    return f"  - engine: {{openai: {{base_url: 'http://{address}', model: {model}}}}}\n"


def _kept(bench: Any) -> dict[str, set[str]]:
    """The point of each result, and whether its records are there."""
    results = measured(bench)
    points: dict[str, set[str]] = {}
    for result in results:
        folder = bench.run_directory / "points" / result["point"]
        assert (folder / "repeat-0" / "records.parquet").exists()
        points.setdefault(result["point"], set()).add(result["server"])
    assert len(points) == len(results)
    return points


def test_two_servers(bench: Any, serve: Serve) -> None:
    """The same settings at two addresses: two results with records of their own, told apart in the
    console and in the files.
    """
    slow, fast = serve("--ttft-s", "0.2"), serve("--ttft-s", "0.01")
    (bench.folder / "two.yaml").write_text(
        f"deployments:\n{_openai(slow)}{_openai(fast)}{WORK}{LOAD}reporters: [console, files]\n"
    )
    done = bench("run", "two.yaml", "--allow-invalid")
    assert done.code == 0, done.err
    assert set().union(*_kept(bench).values()) == {slow, fast}
    assert f"server {slow}" in done.out and f"server {fast}" in done.out
    assert "differs only in its address; its points are numbered 2" in done.out
    by_server = {r["server"]: r["metrics"]["ttft_s.p50"]["mean"] for r in measured(bench)}
    assert by_server[slow] > 0.2
    assert by_server[fast] < 0.1
    table = (bench.run_directory / "reports" / "results.csv").read_text()
    assert slow in table and fast in table


@pytest.mark.parametrize("count", [2, 3])
def test_one_deployment_several_times(bench: Any, serve: Serve, count: int) -> None:
    """Numbered as well; no record is overwritten."""
    address = serve()
    (bench.folder / "same.yaml").write_text(f"deployments:\n{_openai(address) * count}{WORK}{LOAD}")
    done = bench("run", "same.yaml", "--allow-invalid")
    assert done.code == 0, done.err
    assert len(_kept(bench)) == count
    assert f"its points are numbered {count}" in done.out


def test_two_models_of_one_server(bench: Any, serve: Serve) -> None:
    """Each row says which served model it is."""
    address = serve()
    (bench.folder / "models.yaml").write_text(
        f"deployments:\n{_openai(address, 'small')}{_openai(address, 'large')}{WORK}{LOAD}"
    )
    done = bench("run", "models.yaml", "--allow-invalid")
    assert done.code == 0, done.err
    assert {r["model"] for r in measured(bench)} == {"small", "large"}
    assert "small on openai" in done.out and "large on openai" in done.out


def test_report_of_two_runs_leaves_theirs_alone(bench: Any, serve: Serve) -> None:
    """`bench report A B` writes to a folder of its own below the current one."""
    work = ("--workload", "random:input_tokens=16,output_tokens=8", "--requests", "4")
    engine = f"openai:base_url=http://{serve()},model=m"
    runs, before = [], {}
    for name in ("a", "b"):
        done = bench("run", "--engine", engine, *work, "--runs", name, "--allow-invalid",
                     "--reporter", "files")  # fmt: skip
        assert done.code == 0, done.err
        (run,) = (bench.folder / name).iterdir()
        runs.append(run)
        before[run] = _contents(run / "reports")
    done = bench("report", *map(str, runs), "--reporter", "files")
    assert done.code == 0, done.err
    assert {run: _contents(run / "reports") for run in runs} == before
    (written,) = (bench.folder / "reports").glob("*/results.json")
    both = written.read_text()
    assert runs[0].name in both and runs[1].name in both


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_prompts_differ_between_runs(bench: Any, serve: Serve) -> None:
    """The seed is drawn and recorded; a fixed one repeats the prompts. A drawn one is no part of a
    point's identity.
    """
    engine = f"openai:base_url=http://{serve()},model=m"
    work = ("--workload", "random:input_tokens=16,output_tokens=8", "--requests", "4")
    seeds, points = [], []
    for number, more in enumerate(([], [], ["--seed", "5"], ["--seed", "5"])):
        folder = f"run{number}"
        done = bench("run", "--engine", engine, *work, "--runs", folder, "--allow-invalid", *more)
        assert done.code == 0, done.err
        (run,) = (bench.folder / folder).iterdir()
        seeds.append(json.loads((run / "provenance.json").read_text())["seed"])
        points.append(json.loads((run / "results.jsonl").read_text().splitlines()[0])["point"])
    assert seeds[0] != seeds[1]
    assert seeds[2:] == ["5", "5"] or seeds[2:] == [5, 5]
    assert points[0] == points[1] and points[2] == points[3]
