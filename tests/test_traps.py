"""Servers and clients that distort a measurement: a check reports each of them, and no other.

The tests run beside others, so checks of the machine and of what its load causes are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest
from processes import marked
from tests_bench import measured

# Slow enough that a busy machine stays within the limits on client delays (5 % of TTFT and TPOT).
SLOW = "--ttft-s 0.15 --itl-s 0.02"
POINT = ("--workload", "random:input_tokens=16,output_tokens=8", "--concurrency", "4")
ATTEMPTS = 4
BAD = ("flagged", "invalid")
CLIENT = {"client loop delay", "client dispatch delay", "client CPU"}
# What a busy machine causes as well: these tests run beside others.
MACHINE = {
    *CLIENT, "client paused", "offered load", "coalesced reads", "precision", "stability"
}  # fmt: skip


def _run(bench: Any, script: str, requests: int = 32) -> tuple[Any, dict[str, Any]]:
    """One point."""
    before = set((bench.folder / "runs").glob("*"))
    # Its tokenizer is known: measuring words with one slow request each would take 5 s.
    engine = f"scripted:words=true,script='{SLOW} {script}'"
    done = bench("run", "--engine", engine, *POINT, "--requests", str(requests))
    (run,) = set((bench.folder / "runs").iterdir()) - before
    return done, json.loads((run / "results.jsonl").read_text().splitlines()[0])


def _machine_was_busy(result: dict[str, Any]) -> bool:
    evidence = _check(result, "coalesced reads")["evidence"]
    merged = "by the client" in evidence and ": 0.00 % by the client" not in evidence
    foreign = _check(result, "foreign load")["outcome"] in BAD
    return merged or foreign or bool({*CLIENT, "offered load"}.intersection(_bad(result)))


def _bad(result: dict[str, Any]) -> list[str]:
    failed = [c["name"] for c in result["checks"] if c["outcome"] in BAD]
    return [name for name in failed if name != "foreign load"]


def _check(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return found


@pytest.mark.parametrize(
    ("script", "name", "evidence"),
    [
        ("--extra-tokens 3", "lengths", "0.0 % of 32 responses have the requested length"),
        ("--extra-tokens -3", "lengths", "0.0 % of 32 responses have the requested length"),
        ("--cached-share 0.5", "prefix cache", "50.00 % of prompt tokens came from a cache"),
        ("--miscount 1.2", "server agreement", "output tokens: client 256, server 307"),
    ],
)
def test_wrong_server(bench, script: str, name: str, evidence: str) -> None:
    """Too many tokens, too few, cached prompts, wrong counters."""
    done, result = _run(bench, script)
    assert set(_bad(result)) - MACHINE == {name}
    check = _check(result, name)
    assert check["outcome"] == "invalid" and evidence in check["evidence"], check
    assert done.code == 6 and name in done.complaint[0]


def test_broken_streams(bench) -> None:
    """More than 5 % of the requests fail; the check gives their status."""
    done, result = _run(bench, "--drop-share 0.07", requests=100)
    assert set(_bad(result)) - MACHINE == {"failures"}
    check = _check(result, "failures")
    assert check["outcome"] == "invalid" and " broken" in check["evidence"], check
    assert 0.05 < check["value"] < 0.09
    assert done.code == 6


def test_stalled_server(bench) -> None:
    """Requests in flight get the status stalled."""
    suite = f"""
version: 1
deployments: [{{engine: {{scripted: {{words: true, script: "{SLOW} --hang-after 20"}}}}}}]
workloads: [{{random: {{input_tokens: 16, output_tokens: 8}}}}]
load: {{concurrency: [4], duration_s: 60, warmup_per_concurrency: 0, stall_timeout_s: 1}}
"""
    (bench.folder / "suite.yaml").write_text(suite)
    assert bench("run", "suite.yaml").code != 0
    result = measured(bench)[0]
    assert (result["state"], result["measurement"]) == ("stalled", "invalid")
    assert set(_bad(result)) - MACHINE == {"duration", "failures"}
    assert "4 stalled" in _check(result, "failures")["evidence"]


@pytest.mark.serial
@pytest.mark.parametrize(
    ("script", "label"),
    [
        ("--coalesce 4", "merged: 0.00 % by the client, 75.00 % upstream"),
        ("--tokens-per-chunk 4", "4.00 tokens per event"),
    ],
)
def test_tokens_coalesced_upstream(bench, script: str, label: str) -> None:
    """Several events per write, several tokens per event: no fault, and labelled as upstream."""
    for _ in range(ATTEMPTS):
        done, result = _run(bench, script)
        if not _machine_was_busy(result):
            break
    assert (_bad(result), done.code) == ([], 0)
    # 32 requests are too few for these two; every other check passes.
    short = {c["name"] for c in result["checks"] if c["outcome"] == "too short"}
    assert short <= {"stability", "precision"}
    assert label in _check(result, "coalesced reads")["evidence"]


def _starve(bench: Any, process: subprocess.Popen[str]) -> str:
    """Stop the load workers for 39 of every 40 ms until `process` exits; returns its stderr.

    A low priority would not do: with autogroup scheduling, priorities count within a session only.
    """
    workers: list[int] = []
    while process.poll() is None:
        workers = workers or _workers(bench)
        for halt, seconds in ((signal.SIGSTOP, 0.039), (signal.SIGCONT, 0.001)):
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, halt)
            time.sleep(seconds)
    return process.communicate()[1]


def _workers(bench: Any) -> list[int]:
    # Not their supervisors, which have the same arguments at the end.
    start = ["-P", "-m", "tokenbench.load.worker"]
    return [pid for pid, words in marked(bench.mark).items() if words[1:4] == start]


def test_saturated_client(bench) -> None:
    """Without enough CPU the measurement is invalid, by checks of the client only."""
    process = bench.start(
        *("run", "--engine", "scripted:words=true,script='--ttft-s 0.05 --itl-s 0.005'"),
        *("--workload", "random:input_tokens=16,output_tokens=32", "--concurrency", "64"),
        *("--duration", "2"),
    )
    err = _starve(bench, process)
    (result,) = measured(bench)
    assert result["measurement"] == "invalid", (result["checks"], err)
    reasons = {c["name"] for c in result["checks"] if c["outcome"] == "invalid"}
    assert reasons & CLIENT
    assert set(_bad(result)) <= MACHINE
    assert process.returncode == 6, err
