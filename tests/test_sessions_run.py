"""Whole runs of sessions against a server with a real prefix cache, which knows the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests_bench import Bench, measured, wait_for

from tokenbench.launch.ports import free_port
from tokenbench.load.records import SessionStatus, Status, label_number
from tokenbench.store.records import read_records, read_sessions
from tokenbench_testing.cache_server import PrefixCache

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server with a prefix cache; returns its address. Its log is ``server.log``."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        port = free_port()
        argv = [sys.executable, "-m", "tokenbench_testing.cache_server", "--port", str(port)]
        more = ["--counters", "vllm", "--log", str(tmp_path / "server.log"), *options]
        started.append(subprocess.Popen([*argv, *more], stderr=subprocess.PIPE, text=True))
        wait_for(started[-1], "listening")
        return f"http://127.0.0.1:{port}"

    yield start
    for server in started:
        server.kill()
        server.communicate()


@pytest.fixture
def run(bench: Bench) -> Callable[..., dict[str, Any]]:
    """Measure one point; returns its result."""

    def measure(
        url: str, workload: dict[str, Any], *, kind: str = "vllm", **load: Any
    ) -> dict[str, Any]:
        engine = {"openai": {"base_url": url, "model": "m", "server": kind}}
        suite = {
            "seed": 5,
            "deployments": [{"engine": engine}],
            "workloads": [workload],
            "load": {"repeats": 1, "warmup_per_concurrency": 0, "prefix_caching": True, **load},
            "telemetry": {"idle_s": 0},
        }
        (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
        done = bench("run", "suite.yaml", "--allow-invalid")
        assert done.code == 0, done.err
        (result,) = measured(bench)
        return result

    return measure


def _values(result: dict[str, Any]) -> dict[str, float | None]:
    return {name: metric["mean"] for name, metric in result["metrics"].items()}


def _check(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in result["checks"] if c["name"] == name)
    return found


def _served(folder: Path) -> list[dict[str, Any]]:
    """What the server saw after it was last emptied before the repeat: not the fitting of words."""
    rows = [json.loads(line) for line in (folder / "server.log").read_text().splitlines()]
    resets = [number for number, row in enumerate(rows) if "reset" in row]
    # The cache is emptied before the repeat and after it.
    return rows[resets[-2] + 1 : resets[-1]]


def _repeat(bench: Bench) -> Path:
    (folder,) = bench.run_directory.glob("points/*/repeat-0")
    return folder


PREFIX = {"groups": 3, "prefix_tokens": 64, "suffix_tokens": 16, "output_tokens": 4}


@pytest.mark.covers("Workload.priming")
def test_cold_and_primed_caches(serve: Serve, run: Any, bench: Bench) -> None:
    """Hits are those that the workload expects and the server counted. Primed, each prefix was sent
    once before, and counts for nothing.
    """
    url = serve("--itl-s", "0")
    shares = {}
    for primed in (False, True):
        (bench.folder / "server.log").unlink(missing_ok=True)
        result = run(url, {"prefix": PREFIX}, concurrency=[2], requests=40, prime_cache=primed)
        values, served = _values(result), _served(bench.folder)
        priming, counted = served[: 3 * primed], served[3 * primed :]
        assert [row["n_in"] for row in priming] == [64] * 3 * primed
        assert len(counted) == values["requests_ok"] == 40
        truth = sum(row["cached"] for row in counted) / sum(row["n_in"] for row in counted)
        assert values["theoretical_hit_share"] == pytest.approx(truth, abs=0.01)
        assert values["cached_input_share"] == pytest.approx(truth)
        assert values["cached_prompt_share.server"] == pytest.approx(truth)
        assert _check(result, "cache hits")["outcome"] == "ok"
        shares[primed] = truth
        for folder in bench.folder.glob("runs/*"):
            folder.rename(bench.folder / f"kept-{primed}")
    assert shares == {False: pytest.approx(37 * 64 / 3200), True: pytest.approx(0.8)}


def test_an_incomplete_priming_is_flagged(serve: Serve, run: Any) -> None:
    """One of the three prefixes is refused: hits are fewer than those of a primed cache."""
    url = serve("--itl-s", "0", "--refuse-after-reset", "1")
    result = run(url, {"prefix": PREFIX}, concurrency=[2], requests=40, prime_cache=True)
    check = _check(result, "cache hits")
    assert check["outcome"] == "flagged"
    assert "1 of 3 prefixes are not in the cache, first: http: " in check["evidence"]
    assert _check(result, "failures")["outcome"] == "ok"


def test_a_cache_that_was_not_emptied_is_noticed(serve: Serve, run: Any, bench: Bench) -> None:
    """A server without a page to empty its cache keeps the prompts of a run with the same seed: it
    has more hits than are possible.
    """
    url = serve("--itl-s", "0")
    first = run(url, {"prefix": PREFIX}, kind="generic", concurrency=[2], requests=20)
    assert _check(first, "cache hits")["outcome"] == "ok"
    (bench.folder / "runs").rename(bench.folder / "kept")
    again = run(url, {"prefix": PREFIX}, kind="generic", concurrency=[2], requests=20)
    assert _check(again, "cache hits")["outcome"] == "invalid"
    assert _values(again)["cached_input_share"] > _values(again)["theoretical_hit_share"]


def test_agents_fork_join_and_end(serve: Serve, run: Any, bench: Bench) -> None:
    """Every session runs to its end; hits are the server's; a join begins after all its parents."""
    agents = {
        "system_tokens": 64, "task_tokens": 16, "turns": 5, "answer_tokens": 8, "tool_tokens": 24,
        "spread": 0.0, "tool_s": 0.01, "subagents": 2, "subagent_turns": 2, "background": 1,
    }  # fmt: skip
    result = run(serve("--itl-s", "0.001"), {"agentic": agents}, concurrency=[3], sessions=9)
    values, served = _values(result), _served(bench.folder)
    assert values["sessions_complete"] == 9 and values["session_complete_share"] == 1.0
    sessions = read_sessions(_repeat(bench))
    # 5 turns of the agent, 2 sub-agents of 2, one in the background of 2.
    assert set(sessions["turns"]) == {11}
    records, _, _ = read_records(_repeat(bench))
    assert len(records) == len(served) == 99
    assert sum(row["n_in"] for row in served) == records["n_in"].sum()
    truth = sum(row["cached"] for row in served) / sum(row["n_in"] for row in served)
    assert values["cached_input_share"] == pytest.approx(truth)
    assert truth <= values["theoretical_hit_share"] + 0.01
    assert result["level"]["unit"] == "session"
    assert set(result["classes"]) == {"agent", "subagent", "background"}
    for number in range(9):
        mine = records[records["session"] == number]
        own = mine[mine["agent"] == 0]
        order = own["sent_first_ns"].argsort()
        assert (own["end_ns"][order][:-1] <= own["sent_first_ns"][order][1:]).all()
        subagents = mine[mine["label"] == label_number("subagent")]
        joins = own[own["scheduled_ns"] >= subagents["end_ns"].max()]
        # Turns of the agent before the fork ended before it, those after it began after the join.
        forked = own[own["sent_first_ns"] > subagents["sent_first_ns"].min()]
        assert len(joins) == len(forked) > 0
    assert values["ttft_turn_1_s.p50"] is not None
    assert values["makespan_without_tools_s.p50"] < values["makespan_s.p50"]


def test_sessions_that_overflow_are_counted_as_such(serve: Serve, run: Any, bench: Bench) -> None:
    """The server refuses long prompts; what waits for them is not sent, and fails."""
    agents = {
        "system_tokens": 64, "task_tokens": 16, "turns": 6, "answer_tokens": 8, "tool_tokens": 40,
        "tool_s": 0.0, "forks": 0, "overflow": "send",
    }  # fmt: skip
    url = serve("--itl-s", "0", "--context", "260")
    result = run(url, {"agentic": agents}, concurrency=[3], sessions=12)
    values = _values(result)
    rows = [json.loads(line) for line in (bench.folder / "server.log").read_text().splitlines()]
    truth = sum("overflow" in row for row in rows)
    assert values["sessions_overflow"] == truth > 0
    assert values["sessions_complete"] == 12 - truth
    records, _, _ = read_records(_repeat(bench))
    assert (records["status"] == Status.OVERFLOW).sum() == truth
    sessions = read_sessions(_repeat(bench))
    overflowed = sessions[sessions["status"] == SessionStatus.OVERFLOW]
    dropped = (records["status"] == Status.PARENT_FAILED).sum()
    assert overflowed["failed"].sum() == truth + dropped
    assert _check(result, "failures")["outcome"] in ("flagged", "invalid")


@pytest.mark.covers("Workload.arrivals_s")
def test_a_trace_at_a_speed(serve: Serve, run: Any, bench: Bench, tmp_path: Path) -> None:
    """Requests begin at the times of the trace, ten times as fast; lengths and hits are exact."""
    rows = [
        {
            "timestamp": 300 * n,
            "input_length": 600 + n,
            "output_length": 1 + n % 3,
            "hash_ids": [0, n + 1],
        }
        for n in range(30)
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = run(serve("--itl-s", "0"), {"trace": {"file": str(file)}}, speed=[10])
    values, served = _values(result), _served(bench.folder)
    assert result["level"]["speed"] == 10.0
    assert sorted(row["n_in"] for row in served) == [600 + n for n in range(30)]
    truth = sum(row["cached"] for row in served) / sum(row["n_in"] for row in served)
    assert values["theoretical_hit_share"] == pytest.approx(truth, abs=0.01)
    records, _, phase = read_records(_repeat(bench))
    due = sorted((records["scheduled_ns"] - phase.started_ns).tolist())
    assert due == [n * 30_000_000 for n in range(30)]


def test_two_classes_with_objectives_of_their_own(serve: Serve, run: Any, bench: Bench) -> None:
    """Short prompts are fast, long ones slow: each class meets a limit that suits it; with the
    limit of the other, the slow class fails the whole.
    """
    parts = {
        "short": {"workload": "random", "options": {"input_tokens": 16, "output_tokens": 2}},
        "long": {"workload": "random", "options": {"input_tokens": 600, "output_tokens": 2}},
    }
    url = serve("--itl-s", "0", "--ttft-s", "0", "--prefill-s-per-token", "0.001")
    slo = "short:ttft_p90<500ms,long:ttft_p90<20s"
    values = _values(run(url, {"mixture": {"parts": parts}}, concurrency=[2], requests=24, slo=slo))
    assert values["goodput_all_classes_req_s.whole"] == values["req_s.whole"]
    (bench.folder / "runs").rename(bench.folder / "kept")
    slo = "short:ttft_p90<500ms,long:ttft_p90<500ms"
    result = run(url, {"mixture": {"parts": parts}}, concurrency=[2], requests=24, slo=slo)
    values = _values(result)
    assert values["goodput_all_classes_req_s.whole"] == 0.0
    slow = result["classes"]["long"]["requests_ok"]["mean"]
    assert slow > 0
    assert values["goodput_req_s.whole"] == pytest.approx(values["req_s.whole"] * (24 - slow) / 24)
    assert result["classes"]["long"]["goodput_req_s.whole"]["mean"] == 0.0


def test_the_cache_of_the_server() -> None:
    """Blocks count from the beginning, the oldest is evicted, one token is always computed."""
    cache = PrefixCache(4, 3)
    assert cache.lookup(range(12)) == 0
    assert cache.lookup(range(12)) == 8
    assert cache.lookup([*range(4), 9, 9, 9, 9, 9]) == 4
    assert len(cache) == 3
    assert cache.lookup(range(12)) == 4
    cache.clear()
    assert cache.lookup(range(12)) == 0


@pytest.mark.real
def test_a_real_engine_has_the_expected_hits(bench: Bench) -> None:
    """llama.cpp with one prefix for all prompts: its counters are what the workload expects."""
    suite = {
        "deployments": [{"engine": "llamacpp", "model": "smollm2"}],
        "workloads": [{"prefix": {**PREFIX, "groups": 1, "output_tokens": 2}}],
        "load": {
            "concurrency": [1], "requests": 8, "repeats": 1, "warmup_per_concurrency": 0,
            "prefix_caching": True,
        },
        "telemetry": {"idle_s": 0},
    }  # fmt: skip
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=300.0)
    assert done.code == 0, done.err
    values = _values(measured(bench)[0])
    assert values["theoretical_hit_share"] == pytest.approx(7 * 64 / (8 * 80))
    assert values["cached_prompt_share.server"] == pytest.approx(7 * 64 / (8 * 80), abs=0.01)
