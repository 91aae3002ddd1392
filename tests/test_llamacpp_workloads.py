"""Workloads that share prefixes on a real llama.cpp: expected hits are those of its counters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests_bench import measured

from tokenbench.store.records import read_records

if TYPE_CHECKING:
    from tests_bench import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def _workloads(folder: Path) -> list[dict[str, Any]]:
    """Short ones, each with one prefix at a time: llama.cpp keeps the prompts of its slots."""
    text = " ".join(f"Part {n} is old, and the next one is new." for n in range(4))
    roles = ("user", "assistant") * 3
    chat = {"messages": [{"role": role, "content": text} for role in roles]}
    (folder / "chats.jsonl").write_text(json.dumps(chat))
    rows = [
        {"timestamp": 100 * n, "input_length": 540 + n, "output_length": 2, "hash_ids": [0, n + 1]}
        for n in range(4)
    ]
    (folder / "trace.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    agentic = {
        "system_tokens": 64, "task_tokens": 16, "turns": 3, "answer_tokens": 4, "tool_tokens": 24,
        "spread": 0.0, "tool_s": 0.0, "forks": 0,
    }  # fmt: skip
    return [
        {"prefix": {"groups": 1, "prefix_tokens": 96, "suffix_tokens": 16, "output_tokens": 2}},
        {"conversations": {"file": str(folder / "chats.jsonl"), "salt": "session"}},
        {"agentic": agentic},
        {"trace": {"file": str(folder / "trace.jsonl")}},
    ]


def _run(bench: Bench, workloads: list[dict[str, Any]], **load: Any) -> dict[str, float]:
    """The share of hits of each workload, by the server's counters."""
    engine = {"slots": 1, "context_tokens": 1024}
    suite = {
        "seed": 4,
        "deployments": [{"engine": {"llamacpp": engine}, "model": "smollm2"}],
        "workloads": workloads,
        "load": {
            "concurrency": [1], "sessions": 2, "repeats": 1, "warmup_per_concurrency": 0,
            "prefix_caching": True, **load,
        },
        "telemetry": {"idle_s": 0},
    }  # fmt: skip
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=600.0)
    assert done.code == 0, done.err
    shares = {}
    for result in measured(bench):
        values = {name: metric["mean"] for name, metric in result["metrics"].items()}
        folder = bench.run_directory / "points" / result["point"] / "repeat-0"
        records, _, _ = read_records(folder)
        assert (records["status"] == 0).all()
        share = values["cached_prompt_share.server"]
        assert share == pytest.approx(records["n_cached"].sum() / records["n_in"].sum())
        assert values["theoretical_hit_share"] == pytest.approx(share, abs=0.01), result["workload"]
        (check,) = (check for check in result["checks"] if check["name"] == "cache hits")
        assert check["outcome"] == "ok", check
        shares[result["workload"]] = share
    (bench.folder / "runs").rename(bench.folder / f"kept-{len(list(bench.folder.iterdir()))}")
    return shares


def test_expected_hits_are_those_of_the_server(bench: Bench, tmp_path: Path) -> None:
    """Cold and primed, within one percent of the prompts' tokens."""
    pytest.importorskip("xllamacpp")
    workloads = _workloads(tmp_path)
    cold = _run(bench, workloads)
    assert cold["prefix"] == pytest.approx(96 / (2 * 112), abs=0.01)
    assert cold["trace"] == pytest.approx(512 / (540 + 541), abs=0.01)
    assert 0.3 < cold["conversations"] < 0.95
    primed = _run(bench, [workloads[0], workloads[2]], prime_cache=True)
    assert primed["prefix"] == pytest.approx(96 / 112, abs=0.01)
    assert primed["agentic"] > cold["agentic"]
