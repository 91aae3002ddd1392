"""Every flag and variable that the plugin can produce, against the parsers of SGLang and of its
router (flags.json, router.json).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from sglang_cases import (
    DEEPSEEK_R1,
    LLAMA_70B,
    draft_weights,
    engine,
    process,
    request,
    xpyd,
)
from tokenbench_engine_sglang.options import KV_DTYPES, POLICIES, SPECULATION, STORAGE, TRANSFER
from tokenbench_engine_sglang.plugin import SglangOptions

from tokenbench.api import (
    EngineRequest,
    FlagGrammar,
    FlagValue,
    Parsers,
    ServingNeeds,
    package_json,
)

_MTP = {"speculation": "mtp", "speculative_tokens": 2}
_HICACHE = {"kv_offload": "hicache"}
_OF_EXPERTS = {"all2all_backend", "eplb", "moe_backend"}
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/sglang/bin/python"},),
    "version": ({"version": "0.5.23"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "context_tokens": ({"context_tokens": 4096},),
    "max_running_requests": ({"max_running_requests": 8},),
    "chunked_prefill_tokens": ({"chunked_prefill_tokens": 8192}, {"chunked_prefill_tokens": -1}),
    "memory_share": ({"memory_share": 0.85},),
    "kv_cache_tokens": ({"kv_cache_tokens": 100_000},),
    "block_size": ({"block_size": 64},),
    "dtype": tuple({"dtype": t} for t in ("auto", "bfloat16", "float16", "float32")),
    "quantization": ({"quantization": "fp8"}, {"quantization": "modelopt_fp4"}),
    "kv_cache_dtype": tuple({"kv_cache_dtype": dtype} for dtype in KV_DTYPES),
    "fp4_weight_only": ({"fp4_weight_only": True},),
    "load_format": ({"load_format": "dummy"},),
    "trust_remote_code": ({"trust_remote_code": True},),
    "speculation": tuple(
        {"speculation": method, "speculative_tokens": 3, "speculative_model": model}
        for method in SPECULATION
        if method != "none"
        for model in ([None] if method in ("ngram", "mtp") else ["/models/d"])
    ),
    "speculative_tokens": (_MTP,),
    "speculative_topk": ({**_MTP, "speculative_topk": 4},),
    "speculative_tree_tokens": ({**_MTP, "speculative_topk": 4, "speculative_tree_tokens": 16},),
    "speculative_model": (
        {"speculation": "eagle3", "speculative_tokens": 3, "speculative_model": "head"},
        {"speculation": "draft", "speculative_tokens": 3, "speculative_model": "org/small"},
    ),
    "synthetic_acceptance_length": ({**_MTP, "synthetic_acceptance_length": 2.4},),
    "kv_offload": (_HICACHE, {"kv_offload": "lmcache"}),
    "kv_offload_gib": ({**_HICACHE, "kv_offload_gib": 8},),
    "kv_storage": tuple({**_HICACHE, "kv_storage": where} for where in STORAGE),
    # What these change is in pools for prefill and decode, and with several servers.
    "kv_connector": tuple({"kv_connector": one} for one in TRANSFER),
    "kv_devices": ({"kv_devices": "mlx5_0,mlx5_1"},),
    "router_policy": tuple({"router_policy": policy} for policy in POLICIES),
    "all2all_backend": ({"all2all_backend": "deepep"}, {"all2all_backend": "mori"}),
    "eplb": ({"eplb": True},),
    "attention_backend": ({"attention_backend": "trtllm_mla"}, {"attention_backend": "aiter"}),
    "moe_backend": ({"moe_backend": "flashinfer_trtllm"},),
    "cuda_graphs": ({"cuda_graphs": False},),
    "cuda_graph_max_batch": ({"cuda_graph_max_batch": 128},),
    "overlap_schedule": ({"overlap_schedule": False},),
    "chat_template_file": ({"chat_template_file": __file__},),
    "tool_call_parser": ({"tool_call_parser": "qwen25"}, {"tool_call_parser": "model"}),
    "reasoning_parser": ({"reasoning_parser": "deepseek-r1"}, {"reasoning_parser": "model"}),
    "cpu_binding": ({"cpu_binding": "0-3|4-7"},),
}
_PARSERS = Parsers(
    engine="sglang", tool="deepseekv3", reasoning="deepseek-r1", source="test", date="2026-12-01"
)
_EXTRA = {"head": draft_weights("eagle")}
_CACHE = ServingNeeds(context_tokens=2048, concurrency=16, prefix_caching=True)


def _request(shape: Any = DEEPSEEK_R1, **more: Any) -> EngineRequest:
    degrees = {"tp": 8} if "dp" not in more and more.get("kind") != "cpu" else {}
    given = {"needs": _CACHE, "parsers": _PARSERS, "extra": _EXTRA, **degrees, **more}
    return request(shape, precision="fp8", **given)


_REQUESTS = (
    _request(),
    _request(source="hub:org/name"),
    _request(needs=ServingNeeds()),
    _request(ep=8),
    _request(attention_dp=8, ep=8),
    _request(LLAMA_70B, tp=4, pp=2),
    _request(LLAMA_70B, dp=2, tp=4),
    _request(dcp=8),
    _request(tp=16),
    _request(kind="amd"),
    _request(LLAMA_70B, kind="cpu"),
)


def _plans(options: dict[str, Any]) -> Iterator[Any]:
    if not {"kv_connector", "kv_devices", "router_policy"} & {*options}:
        if "cpu_binding" not in options:
            yield process(_request(), **options)
        if options.get("speculation") != "mtp" and not _OF_EXPERTS & {*options}:
            yield process(_request(LLAMA_70B, kind="cpu"), **options)
    if "cpu_binding" not in options:
        yield from engine(**options).plan(_request(pools=xpyd(2, 1))).processes


@functools.cache
def _all_processes() -> tuple[Any, ...]:
    """Each plan asks an interpreter for its version, which takes 0.1 s."""
    found = [process(asked) for asked in _REQUESTS]
    found.append(engine().worker(_request(attention_dp=8), "server"))
    for samples in _SAMPLES.values():
        for options in samples:
            found += _plans(options)
    return tuple(found)


def _captured(program: str) -> dict[str, Any]:
    file = {"server": "flags.json", "router": "router.json"}[program]
    return package_json("tokenbench_engine_sglang", file)


def _flags(program: str) -> dict[str, dict[str, Any]]:
    return {name: flag for flag in _captured(program)["flags"] for name in flag["names"]}


def test_every_option_has_a_sample() -> None:
    """A new option is checked against the parsers, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(SglangOptions)}


def test_the_parsers_take_every_flag() -> None:
    """Name, type and choices of each flag; none of those that this version warns of."""
    known = {program: _flags(program) for program in ("server", "router")}
    seen = set()
    for one in _all_processes():
        program = "router" if one.role == "router" else "server"
        for name, value in one.flags.items():
            assert name in known[program], name
            flag = known[program][name]
            assert name == flag["names"][0], f"{name} is not the canonical name"
            assert name not in _captured(program)["deprecated"], name
            _check(flag, value)
            seen.add(name)
    # Each flag that the plugin's code names was produced.
    assert len(seen) >= 50, sorted(seen)


def _check(flag: dict[str, Any], value: FlagValue) -> None:
    kind, place = flag["kind"], (flag["names"][0], value)
    if isinstance(value, bool):
        assert value and kind == "switch", place
        return
    assert kind == "value", place
    text = str(value)
    if flag["type"] in ("int", "float") and "{" not in text:
        (int if flag["type"] == "int" else float)(text)
    if "choices" in flag:
        assert text in flag["choices"], place


def test_fixed_arguments_of_the_router() -> None:
    """What stands before its flags: repeated `--prefill` and `--decode`, or `--worker-urls`."""
    known = _flags("router")
    for pools in (xpyd(2, 1), None):
        asked = _request(pools=pools) if pools else _replicated(2)
        *_, router = engine().plan(asked).processes
        names = {word for word in router.argv if word.startswith("--")}
        assert names <= set(known), names


def _replicated(replicas: int) -> EngineRequest:
    asked = _request()
    (pool,) = asked.layout.pools
    pools = (attrs.evolve(pool, replicas=replicas),)
    return attrs.evolve(asked, layout=attrs.evolve(asked.layout, pools=pools))


def test_sglang_reads_every_variable() -> None:
    """Variables that start with SGLANG_ are in SGLang's list, or in its code outside of it."""
    # srt/platforms/__init__.py, srt/utils/numa_utils.py and srt/utils/network.py of 0.5.23.
    elsewhere = {"SGLANG_USE_CPU_ENGINE", "SGLANG_CPU_OMP_THREADS_BIND", "SGLANG_HOST_IP"}
    known = {*package_json("tokenbench_engine_sglang")["environment"], *elsewhere}
    found = {name for one in _all_processes() for name in one.environment}
    assert {"SGLANG_SIMULATE_ACC_LEN", "SGLANG_USE_CPU_ENGINE"} <= found
    assert {name for name in found if name.startswith("SGLANG_")} <= known


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (("--tensor-parallel-size", 8), ("--tp-size", 8)),
        (("--ep", 8), ("--ep-size", 8)),
        (("--attention-data-parallel-size", 2), ("--attn-dp-size", 2)),
        (("--model", "m"), ("--model-path", "m")),
        (("--nccl-init-addr", "h:1"), ("--dist-init-addr", "h:1")),
    ],
)
def test_other_spellings_meet(
    written: tuple[str, FlagValue], canonical: tuple[str, FlagValue]
) -> None:
    """A suite's spelling of a flag replaces the plugin's."""
    assert FlagGrammar.of_package("tokenbench_engine_sglang").canonical(*written) == canonical


def test_attention_dp_of_an_older_version() -> None:
    """0.5.21 does not know `--attn-dp-size`: its flags are in captured."""
    older = json.loads((Path(__file__).parent / "captured/flags-0.5.21.json").read_text())
    assert "--attn-dp-size" not in older["flags"]
    assert {"--dp-size", "--enable-dp-attention"} <= set(older["flags"])
    asked = _request(attention_dp=8)
    for version, expected in (
        ("0.5.21", {"--dp-size": 8, "--enable-dp-attention": True}),
        ("0.5.21.post1", {"--dp-size": 8, "--enable-dp-attention": True}),
        ("0.5.22", {"--attn-dp-size": 8}),
        ("0.6.0rc1", {"--attn-dp-size": 8}),
    ):
        flags = process(asked, version=version).flags
        assert {name: flags[name] for name in flags if "dp" in name} == expected
        if version == "0.5.21":
            assert set(flags) <= set(older["flags"])


@pytest.mark.parametrize("program", ["server", "router"])
def test_the_captures_say_where_they_come_from(program: str) -> None:
    """Origin, version and date."""
    found = _captured(program)
    assert found["version"] == {"server": "0.5.23", "router": "0.3.2"}[program]
    assert found["origin"] and found["date"]
