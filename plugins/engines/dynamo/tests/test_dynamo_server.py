"""What the plugin makes of captured answers, pages and logs (captured/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from dynamo_cases import CAPTURED, Recorded, Wrapped, engine, page, request, text
from tokenbench_engine_dynamo.counters import counters

from tokenbench.api import Counters, Dialect, FrozenMap, LogMessages

_MESSAGES = LogMessages("tokenbench_engine_dynamo")

_EMPTY = (
    text("health-no-worker.http").partition("\n\n")[2]
    or text("health-no-worker.http").replace("\r\n", "\n").partition("\n\n")[2]
)


def test_a_frontend_without_workers_is_not_ready() -> None:
    """Its /health answers 200 with an empty list."""
    assert json.loads(_EMPTY) == {"status": "healthy", "endpoints": [], "instances": []}
    assert engine().ready(Recorded(3, health=_EMPTY)) is False
    assert "404" in text("completions-no-worker.http").splitlines()[0]


def test_ready_when_all_planned_workers_registered() -> None:
    """One prefill and two decode workers; their other endpoints do not count."""
    health = text("1p2d-health.json")
    assert len(json.loads(health)["instances"]) > 3
    assert engine().ready(Recorded(3, health=health)) is True
    assert engine().ready(Recorded(4, health=health)) is False
    assert engine().ready(Recorded(3)) is False
    assert engine().ready(Recorded(3, health="<html>")) is False


def test_version_and_facts() -> None:
    """From the frontend's description of its API and its metrics."""
    server = Recorded(
        2, **{"openapi.json": text("openapi.json"), "metrics": text("frontend-agg.txt")}
    )
    assert engine().version(server) == "dynamo 1.6.1"
    assert engine().version(Recorded(2)) is None
    assert engine().facts(server) == {
        "kv_cache_block_size": "64",
        "total_kv_blocks": "16384",
        "max_num_seqs": "256",
        "max_num_batched_tokens": "8192",
    }


def test_quiescent() -> None:
    """No request in flight; unknown without a page."""
    metrics = text("frontend-agg.txt")
    assert engine().quiescent(Recorded(1, metrics=metrics)) is True
    idle = 'dynamo_frontend_inflight_requests{model="mock"} 0'
    busy = metrics.replace(idle, idle[:-1] + "1")
    assert busy != metrics
    assert engine().quiescent(Recorded(1, metrics=busy)) is False
    assert engine().quiescent(Recorded(1)) is None


def test_streams_are_as_the_dialect_says() -> None:
    """Usage in every chunk and at the end, as many tokens as asked for, and `[DONE]`."""
    dialect = engine().dialect(request())
    assert isinstance(dialect, Dialect)
    lines = text("completions-stream.http").splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert dialect.done_event and events[-1] == "[DONE]"
    usage = [json.loads(event)["usage"]["completion_tokens"] for event in events[:-1]]
    assert dialect.continuous_usage and usage[:3] == [1, 2, 3] and usage[-1] == 3
    chat = text("chat-stream.http")
    assert '"prompt_tokens_details":{"cached_tokens":0}' in chat and "[DONE]" in chat


@pytest.mark.parametrize(("name", "prefill", "decode"), [("1p2d", 1, 2), ("2p1d", 2, 1)])
def test_prompts_and_requests_count_once(name: str, prefill: int, decode: int) -> None:
    """25 requests of 512 tokens in and 16 out went through prefill and through decode."""
    workers = [
        *(page(f"{name}-prefill-{n + 1}", "prefill", n) for n in range(prefill)),
        *(page(f"{name}-decode-{n + 1}", "decode", n) for n in range(decode)),
    ]
    found = counters([page(f"{name}-frontend", "frontend"), *workers])
    assert (found.prompt_tokens, found.generated_tokens) == (25 * 512, 25 * 16)
    assert (found.requests, found.cached_prompt_tokens) == (25, 0)
    assert (found.running, found.waiting, found.kv_usage) == (0, 0, 0)
    for role in ("prefill", "decode"):
        each = [counters((one,)).requests for one in workers if one.role == role]
        assert sum(filter(None, each)) == 25


def test_counters_of_real_workers() -> None:
    """15 requests of 512 tokens in and 16 out, and one of 3 and 4; the rest is the wrapped
    engine's.
    """
    wrapped = Wrapped("vllm", {})
    prefill, decode = page("vllm-prefill", "prefill"), page("vllm-decode", "decode")
    found = counters([page("vllm-frontend", "frontend"), prefill, decode], wrapped)
    assert (found.prompt_tokens, found.generated_tokens, found.requests) == (7683, 244, 16)
    assert (found.drafts, found.kv_usage) == (2, 0.5)
    alone = counters((prefill,), wrapped)
    assert (alone.prompt_tokens, alone.requests, alone.running) == (7683, 16, 0)


def test_workers_are_read_by_the_engine_that_their_pool_names() -> None:
    """It need not be the one of pools that name none, which need not be installed. No engine reads
    the pages of several.
    """
    frontend = page("vllm-frontend", "frontend")
    prefill, decode = (
        attrs.evolve(page(f"vllm-{role}", role), engine="sglang") for role in ("prefill", "decode")
    )
    assert engine("sglang").counters((frontend, prefill, decode)).drafts == 3
    assert engine("sglang").counters((decode,)).drafts == 3
    both = engine("sglang", "vllm")
    assert both.counters((frontend, attrs.evolve(decode, engine=None))).drafts == 2
    mixed = both.counters((frontend, prefill, attrs.evolve(decode, engine="vllm")))
    assert (mixed.drafts, mixed.prompt_tokens) == (None, 7683)


def test_a_page_without_metrics() -> None:
    """Nothing is counted, and nothing is zero."""
    empty = page("frontend-agg", "frontend")
    empty = type(empty)(role="frontend")
    assert counters((empty,)) == Counters()
    assert engine(worker="mocker").counters((page("frontend-agg", "frontend"),)).finished == (
        FrozenMap({"success": 2.0, "error": 1.0})
    )


_CAUSES = {
    "no-dynamo": "Dynamo is not installed for the interpreter /usr/bin/python3",
    "vllm-missing": "vllm is not installed in Dynamo's environment",
    "frontend-bad-flag": "does not know the arguments '--no-such-flag', '1'",
    "mocker-bad-flag": "does not know the arguments --no-such 1",
    "vllm-bad-flag": "does not know the arguments --no-such-flag 1",
    "mocker-bad-value": "refuses the value of --block-size: invalid int value: 'x'",
    "frontend-port-taken": "port 18200 is in use by another program",
    "worker-port-taken": "127.0.0.1:18200 is in use by another program",
    "system-port-high": "the system port 40000 is too high",
    "mocker-no-folder": "there is no folder /models/nothing",
    "mocker-hub": "there is no folder nobody/no-such-model",
    "mocker-empty-folder": "the folder /models/empty has no config.json",
    "etcd-unreachable": "etcd does not answer at http://localhost:2379",
    "nats-unreachable": "the NATS server does not answer",
    "file-kv-unwritable": "cannot write to the folder for service discovery",
    "registration-lost": "its registration was removed",
    "vllm-prefill-no-connector": "needs a KV connector",
    "vllm-no-address": "no address that other hosts can reach",
}


@pytest.mark.parametrize("name", sorted(file.stem for file in CAPTURED.glob("*.log")))
def test_diagnosis(name: str) -> None:
    """The cause of every captured failure, and none for a start that went well."""
    found = engine().diagnose(text(f"{name}.log"))
    if name.startswith("started-"):
        assert found is None
    else:
        assert found is not None and _CAUSES[name] in found.cause
        assert found.hint


def test_every_cause_was_captured() -> None:
    """No expectation without a log."""
    assert {file.stem for file in CAPTURED.glob("*.log") if "started" not in file.name} == set(
        _CAUSES
    )


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("started-frontend", "waiting for workers"),
        ("started-mocker", "registered, waiting for the frontend"),
        ("started-vllm-prefill", "registered, waiting for the frontend"),
        ("etcd-unreachable", "waiting for etcd"),
        ("nats-unreachable", "waiting for NATS"),
        ("no-dynamo", None),
    ],
)
def test_phase(log: str, says: str | None) -> None:
    """What a start waits for."""
    assert _MESSAGES.phase(text(f"{log}.log")) == says


def test_nothing_is_said_of_other_logs(tmp_path: Path) -> None:
    """An engine's own log is the engine's to explain."""
    assert (
        _MESSAGES.diagnose("INFO loading weights\n") is None
        and _MESSAGES.phase("INFO loading weights\n") is None
    )
