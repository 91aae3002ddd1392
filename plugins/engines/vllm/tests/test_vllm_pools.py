"""Prefill and decode in pools of their own, and workers on several hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from vllm_cases import DEEPSEEK_R1, GIB, H200, WIDE, engine, request, xpyd

from tokenbench.api import (
    Endpoint,
    EngineRequest,
    HardwareFacts,
    Pool,
    PortBlock,
    ProcessSpec,
    Reply,
    Topology,
    UsageError,
    parse_metrics,
)

_CAPTURED = Path(__file__).parent / "captured"
_H100 = attrs.evolve(H200, name="h100", memory_bytes=80 * GIB)


def _asked(pools: tuple[Pool, ...], **more: Any) -> EngineRequest:
    return request(DEEPSEEK_R1, precision="fp8", pools=pools, **more)


def _plan(pools: tuple[Pool, ...], **options: Any) -> dict[str, ProcessSpec]:
    return {one.role: one for one in engine(**options).plan(_asked(pools)).processes}


def test_nixl() -> None:
    """Each side says where its KV cache is; data-parallel rank N listens on the first port + N."""
    found = _plan(xpyd(2, 1))
    config = {"kv_connector": "NixlConnector"}
    assert found["prefill"].flags["--kv-transfer-config"] == config | {"kv_role": "kv_producer"}
    assert found["decode"].flags["--kv-transfer-config"] == config | {"kv_role": "kv_consumer"}
    for one in (found["prefill"], found["decode"]):
        assert PortBlock(name="nixl", count=8) in one.ports
        assert one.environment["VLLM_NIXL_SIDE_CHANNEL_HOST"] == "{host}"
        assert one.environment["VLLM_NIXL_SIDE_CHANNEL_PORT"] == "{port:nixl}"
        # Of the decode server, all tokens of a prompt would be cached ones.
        assert "--enable-prompt-tokens-details" not in one.flags
    assert "--kv-transfer-config" not in _plan((Pool(topology=Topology(tp=8)),))["server"].flags


def test_the_router_knows_every_server() -> None:
    """Prefill, with Mooncake its bootstrap port, and decode."""
    router = _plan(xpyd(2, 1))["router"]
    prefill = [f"http://{{prefill.{n}.host}}:{{prefill.{n}.port:http}}" for n in range(2)]
    decode = "http://{decode.0.host}:{decode.0.port:http}"
    words = ["--prefill", prefill[0], "--prefill", prefill[1], "--decode", decode]
    assert list(router.argv[-6:]) == words
    assert router.after == ("prefill", "decode")
    found = _plan(xpyd(1, 1), kv_connector="mooncake")
    assert found["router"].argv[-5:-2] == ("--prefill", prefill[0], "{prefill.0.port:bootstrap}")
    assert found["prefill"].environment["VLLM_MOONCAKE_BOOTSTRAP_PORT"] == "{port:bootstrap}"
    assert "VLLM_MOONCAKE_BOOTSTRAP_PORT" not in found["decode"].environment
    assert not any("NIXL" in name for name in found["prefill"].environment)


def test_the_router_takes_every_flag() -> None:
    """Against its own parser (tools/capture_dynamo_flags.py)."""
    captured = json.loads((_CAPTURED / "flags-router.json").read_text(encoding="utf-8"))
    known = {name: flag for flag in captured["flags"] for name in flag["names"]}
    for connector in ("nixl", "mooncake"):
        for policy in ("round_robin", "random", "power_of_two", "cache_aware", "consistent_hash"):
            router = _plan(xpyd(1, 1), kv_connector=connector, router_policy=policy)["router"]
            assert set(router.flags) <= set(known)
            assert {word for word in router.argv if word.startswith("--")} <= set(known)
            for name, value in router.flags.items():
                assert (value is True) == (known[name]["kind"] == "switch"), name
                assert str(value) in known[name].get("choices", [str(value)]), name


def test_the_load_goes_to_the_router() -> None:
    """The servers have pages of metrics; the first prompt fills more than two blocks."""
    plan = engine().plan(_asked(xpyd(1, 2)))
    assert [(at.role, at.metrics_path) for at in plan.endpoints] == [
        ("router", None),
        ("prefill", "/metrics"),
        ("decode", "/metrics"),
    ]
    assert plan.first_prompt_tokens == 257
    assert engine(block_size=16).plan(_asked(xpyd(1, 1))).first_prompt_tokens == 33
    alone = engine().plan(request())
    assert [(at.role, at.metrics_path) for at in alone.endpoints] == [("server", "/metrics")]
    assert (alone.first_prompt_tokens, alone.start_timeout_s) == (1, 1800.0)


def test_a_pool_has_hardware_of_its_own() -> None:
    """Sizes are those of its chip: 8 H100 hold DeepSeek-R1 in fp8 no more."""
    h100 = HardwareFacts(kind="nvidia", sku="h100", count=16, chip=_H100)
    prefill, decode = xpyd(1, 1)
    with pytest.raises(UsageError, match=r"does not fit: .* h100"):
        engine().plan(_asked((attrs.evolve(prefill, hardware=h100), decode)))
    engine().plan(_asked((prefill, decode)))


def test_a_worker_spans_hosts() -> None:
    """32 data-parallel ranks on four hosts of 8: each host has a process, and all meet at rank 0's
    ports.
    """
    worker = engine().worker(_asked(xpyd(1, 1, WIDE)), "decode")
    assert (worker.ranks, worker.accelerators) == (4, 32)
    expected = {
        "--nnodes": 4,
        "--node-rank": "{rank}",
        "--master-addr": "{leader.host}",
        "--master-port": "{leader.port:master}",
        "--data-parallel-size": 32,
        "--data-parallel-size-local": 8,
        "--data-parallel-hybrid-lb": True,
        "--data-parallel-address": "{leader.host}",
        "--data-parallel-rpc-port": "{leader.port:dp}",
        "--enable-expert-parallel": True,
        "--tensor-parallel-size": 1,
    }
    assert {name: worker.flags[name] for name in expected} == expected
    assert {port.name: port.count for port in worker.ports} == {"dp": 1, "master": 1, "nixl": 32}
    assert "--port" not in worker.flags
    assert engine().worker(_asked(xpyd(1, 1, WIDE)), "prefill").ranks == 1


@pytest.mark.parametrize(
    ("topology", "says"),
    [
        # A rank of 16 accelerators is larger than a host.
        (Topology(tp=16, dp=2, ep=32), "each of the 2 has 16"),
        (Topology(dp=12, ep=12), "12 accelerators are needed, a host with h200 has 8"),
    ],
)
def test_only_whole_ranks_are_spread(topology: Topology, says: str) -> None:
    """Tensor parallelism stays within a host, and hosts are alike."""
    with pytest.raises(UsageError, match=says):
        engine().worker(_asked(xpyd(1, 1, topology)), "decode")


@pytest.mark.parametrize(
    ("pools", "options", "says"),
    [
        (xpyd(1, 1, WIDE), {}, "several hosts need an orchestrator"),
        (xpyd(1, 1, engine="vllm"), {}, "names the engine 'vllm'"),
        (xpyd(1, 1), {"kv_offload": "native", "kv_offload_gib": 8.0}, "which a prefill pool uses"),
        ((Pool(replicas=2, topology=Topology(tp=8)),), {}, "need a router in front of them"),
    ],
)
def test_refused(pools: tuple[Pool, ...], options: dict[str, Any], says: str) -> None:
    """What would need another orchestrator."""
    with pytest.raises(UsageError, match=says):
        _plan(pools, **options)


def _page(name: str, role: str) -> Any:
    text = (_CAPTURED / name).read_text(encoding="utf-8")
    return parse_metrics(text, role=role)


def test_prompts_of_prefill_and_decode_are_not_added_up() -> None:
    """16 requests, 15 of 512 tokens and one of 3. Prefill computed the prompts and generated one
    token each, which decode generated again.
    """
    prefill = _page("pd-prefill.txt", "prefill")
    decode = _page("pd-decode.txt", "decode")
    both = engine().counters((prefill, decode))
    assert (both.prompt_tokens, both.generated_tokens, both.requests) == (7683, 244, 16)
    assert both.cached_prompt_tokens == 0
    assert engine().counters((prefill,)).generated_tokens == 16
    # As vLLM sees it, decode found all prompts in a cache: prefill's.
    alone = engine().counters((decode,))
    assert (alone.prompt_tokens, alone.cached_prompt_tokens) == (7683, 7683)
    busy = attrs.evolve(prefill, samples=prefill.samples)
    assert engine().counters((busy, decode)).running == 0


class _Recorded:
    """A router and two servers; the last one lacks the page that empties the cache."""

    endpoints = tuple(
        Endpoint(role=role, index=0, url="http://127.0.0.1:1")
        for role in ("router", "prefill", "decode")
    )

    def __init__(self, *reset: Reply) -> None:
        self.reset = reset

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """What the servers say; the router knows nothing of it."""
        pages = {"/version": '{"version":"0.32.0"}'}
        if endpoint == 0 or path not in pages:
            return Reply(status=404, text="")
        return Reply(status=200, text=pages[path])

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The answers in turn."""
        return self.reset[endpoint - 1]


def test_the_servers_are_asked_not_the_router() -> None:
    """Their version; the cache is empty when all are."""
    ok, busy = (Reply(status=200, text=f'{{"success":{word}}}') for word in ("true", "false"))
    assert engine().version(_Recorded()) == "vllm 0.32.0"
    assert engine().reset_cache(_Recorded(ok, ok)) is True
    assert engine().reset_cache(_Recorded(ok, busy)) is False
    assert engine().reset_cache(_Recorded(ok, Reply(status=404, text=""))) is None


@pytest.mark.parametrize(
    ("pools", "options", "message"),
    [
        ((Pool(name="s"), *xpyd(1, 1)), {}, "the pool 's' is a server beside pools for prefill"),
        ((Pool(),), {"kv_connector": "mooncake"}, "kv_connector: there are no pools for prefill"),
        ((Pool(),), {"router_policy": "random"}, "router_policy: vLLM's router is used only"),
        (xpyd(1, 1), {"cpu_threads": 4}, "cpu_threads: this deployment does not run on CPUs"),
        ((Pool(),), {"cpu_binding": "0-3"}, "cpu_binding: this deployment does not run on CPUs"),
        ((Pool(),), {"eplb": True}, "eplb: m has no experts"),
        ((Pool(),), {"moe_backend": "triton"}, "moe_backend: m has no experts"),
        ((Pool(),), {"all2all_backend": "mori"}, "all2all_backend: m has no experts"),
    ],
)
def test_pools_and_options_that_no_process_would_use(
    pools: tuple[Pool, ...], options: dict[str, Any], message: str
) -> None:
    """The router knows nothing of them, or there is none."""
    with pytest.raises(UsageError, match=message) as refused:
        engine(**options).plan(request(pools=pools))
    assert refused.value.hint
