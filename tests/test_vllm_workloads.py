"""Real vLLM with prefix caching on CPU: workloads that share prefixes have the hits they expect.

Part of ``make test-vllm``; needs the environment of ``make real-vllm`` in VLLM_VENV. The server
counts hits in whole blocks of 128 tokens and always computes a prompt's last token, so the expected
hits of each request are exact. One request at a time: a prompt that is sent while another computes
the same prefix does not hit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from tokenbench.store.records import read_records

if TYPE_CHECKING:
    from tests_bench import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
_BLOCK = 128
_PREFIX = {"groups": 2, "prefix_tokens": 512, "suffix_tokens": 128, "output_tokens": 2}
_AGENTIC = {
    "system_tokens": 512, "task_tokens": 128, "turns": 4, "answer_tokens": 4, "tool_tokens": 252,
    "spread": 0.0, "tool_s": 0.0, "subagents": 1, "subagent_turns": 2,
}  # fmt: skip


@pytest.fixture
def vllm() -> Path:
    """The interpreter of a real vLLM."""
    folder = os.environ.get("VLLM_VENV")
    if not folder:
        pytest.skip("VLLM_VENV names no environment with vLLM: make real-vllm, make test-vllm")
    return Path(folder).absolute() / "bin" / "python"


def _measured(
    bench: Bench, python: Path, workloads: list[dict[str, Any]], **load: Any
) -> list[tuple[dict[str, Any], Path]]:
    """The results of one run on one server, each with the folder of its repeat."""
    engine = {
        "python": str(python),
        "enforce_eager": True,
        "load_format": "dummy",
        "kv_cache_gib": 1,
    }
    suite = {
        "seed": 11,
        "deployments": [
            {
                "engine": {"vllm": engine},
                "model": {"hf": {"path": str(python.parent.parent / "models" / "tiny-qwen3")}},
                "environment": {"TORCHDYNAMO_DISABLE": "1"},
            }
        ],
        "workloads": workloads,
        "load": {
            "concurrency": [1], "repeats": 1, "warmup_per_concurrency": 0, "prefix_caching": True,
            "workers": 1, **load,
        },
        "telemetry": {"idle_s": 0},
    }  # fmt: skip
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=1400.0)
    assert done.code == 0, done.err
    lines = (bench.run_directory / "results.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    folders = [bench.run_directory / "points" / r["point"] / "repeat-0" for r in results]
    return list(zip(results, folders, strict=True))


def _hits(folder: Path) -> tuple[float, float]:
    """Prompt tokens and those of them that were in the cache, by the server's own counters."""
    counted = json.loads((folder / "counters.json").read_text())
    names = ("prompt_tokens", "cached_prompt_tokens")
    found = [counted["after"][name] - (counted["before"][name] or 0.0) for name in names]
    return found[0], found[1]


def _agrees(result: dict[str, Any], folder: Path) -> float:
    """The share of hits, which is the server's, the client's, and what the workload expects, in
    whole blocks, request by request.
    """
    records, _, _ = read_records(folder)
    values = {name: metric["mean"] for name, metric in result["metrics"].items()}
    total, cached = _hits(folder)
    assert (records["status"] == 0).all()
    assert total == records["n_in"].sum()
    assert cached == records["n_cached"].sum()
    expected = np.minimum(records["asked_shared"], records["n_in"] - 1) // _BLOCK * _BLOCK
    assert records["n_cached"].tolist() == expected.tolist()
    share = cached / total
    assert values["cached_input_share"] == pytest.approx(share)
    assert values["cached_prompt_share.server"] == pytest.approx(share)
    assert values["theoretical_hit_share"] >= share
    (check,) = (check for check in result["checks"] if check["name"] == "cache hits")
    assert check["outcome"] == "ok", check
    return float(share)


def _trace(file: Path) -> Path:
    """Mooncake's format: eight requests over two documents of three blocks of 512 tokens."""
    rows = [
        {
            "timestamp": 100 * n,
            "input_length": 3 * 512 + 200 + n,
            "output_length": 2,
            "hash_ids": [10 * (n % 2), 10 * (n % 2) + 1, 10 * (n % 2) + 2, 100 + n],
        }
        for n in range(8)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def _agent(file: Path) -> Path:
    """Weka's format: an agent whose context grows by 200 tokens a turn, then is compacted."""
    lengths = [640, 840, 1040, 1240, 700]
    requests = [
        {
            "t": 0.1 * n,
            "type": "n",
            "in": n_in,
            "out": 2,
            "hash_ids": list(range(n_in // 64)) if n < 4 else [*range(6), 100, 101, 102, 103],
            "api_time": 0.1,
        }
        for n, n_in in enumerate(lengths)
    ]
    session = {"id": "t", "block_size": 64, "hash_id_scope": "local", "requests": requests}
    file.write_text(json.dumps(session))
    return file


def _chats(file: Path) -> Path:
    """Two conversations of three questions, each with an answer of some 120 words."""
    text = " ".join(f"Part {n} of it is old, and the next one is new." for n in range(12))
    rows = [
        {
            "messages": [
                {"role": role, "content": f"{name} {turn}. {text}"}
                for turn in range(3)
                for role in ("user", "assistant")
            ]
        }
        for name in ("Harbour", "Bridge")
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def test_hits_of_a_cold_cache(bench: Bench, vllm: Path, tmp_path: Path) -> None:
    """Prefixes, conversations, agents and traces: expected hits and those of the server's counters
    are the same, in whole blocks; every point begins with an empty cache.
    """
    trace, agent = _trace(tmp_path / "trace.jsonl"), _agent(tmp_path / "agent.json")
    workloads = [
        {"prefix": _PREFIX},
        {"conversations": {"file": str(_chats(tmp_path / "c.jsonl")), "salt": "session"}},
        {"agentic": _AGENTIC},
        {"trace": {"file": str(trace)}},
        {"trace": {"file": str(agent)}},
    ]
    found = _measured(bench, vllm, workloads, sessions=6)
    shares = [_agrees(*one) for one in found]
    prefix, chats, agents, replayed, coding = shares
    # The first prompt of each group finds nothing: four of six have a hit.
    assert prefix == pytest.approx(4 * 512 / (6 * 640))
    assert replayed == pytest.approx(4 * 1536 / sum(1736 + n for n in range(6)))
    for share in (chats, agents, coding):
        assert 0.3 < share < 0.95
    print(f"hits: {shares}")


def test_primed_and_cold_differ(bench: Bench, vllm: Path) -> None:
    """Primed, the first prompts of a group hit too, and every agent hits the system prompt."""
    found = _measured(
        bench, vllm, [{"prefix": _PREFIX}, {"agentic": _AGENTIC}], sessions=6, prime_cache=True
    )
    prefix, agents = (_agrees(*one) for one in found)
    assert prefix == pytest.approx(512 / 640)
    records, _, _ = read_records(found[1][1])
    assert (records["n_cached"] >= 512).all()
    assert agents > 0.3
