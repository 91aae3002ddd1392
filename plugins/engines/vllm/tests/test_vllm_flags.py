"""Every flag and variable that the plugin can produce, against vLLM's own parser (flags.json)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from tokenbench_engine_vllm.options import CUDAGRAPH_MODES, KV_DTYPES, OFFLOAD, SPECULATION
from tokenbench_engine_vllm.plugin import VllmOptions
from vllm_cases import (
    DEEPSEEK_R1,
    LLAMA_70B,
    WIDE,
    draft_weights,
    engine,
    process,
    request,
    xpyd,
)

from tokenbench.api import (
    EngineRequest,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    Parsers,
    ServingNeeds,
    package_json,
)

_CAPTURED = package_json("tokenbench_engine_vllm")
_GRAMMAR = FlagGrammar.of_package("tokenbench_engine_vllm", underscores=True)
_MTP = {"speculation": "mtp", "speculative_tokens": 2}
_OF_EXPERTS = {"all2all_backend", "eplb", "moe_backend"}
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/vllm/bin/python"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "context_tokens": ({"context_tokens": 4096},),
    "max_num_seqs": ({"max_num_seqs": 8},),
    "max_num_batched_tokens": ({"max_num_batched_tokens": 8192},),
    "gpu_memory_utilization": ({"gpu_memory_utilization": 0.8},),
    "kv_cache_gib": ({"kv_cache_gib": 3},),
    "block_size": ({"block_size": 64},),
    "dtype": tuple({"dtype": t} for t in ("auto", "bfloat16", "float16", "float32")),
    "quantization": ({"quantization": "fp8"},),
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
    "speculative_model": (
        {"speculation": "eagle3", "speculative_tokens": 3, "speculative_model": "head"},
        {"speculation": "draft", "speculative_tokens": 3, "speculative_model": "org/small"},
    ),
    "ngram_min": ({"speculation": "ngram", "speculative_tokens": 3, "ngram_min": 1},),
    "ngram_max": ({"speculation": "ngram", "speculative_tokens": 3, "ngram_max": 6},),
    "synthetic_acceptance_length": ({**_MTP, "synthetic_acceptance_length": 2.4},),
    "kv_offload": tuple(
        {"kv_offload": where, "kv_offload_gib": 8.0} for where in OFFLOAD if where != "none"
    ),
    "kv_offload_gib": ({"kv_offload": "native", "kv_offload_gib": 0.5},),
    # What it changes is in pools for prefill and decode (test_vllm_pools.py).
    "kv_connector": ({"kv_connector": "mooncake"},),
    "router_policy": ({"router_policy": "power_of_two"},),
    "all2all_backend": ({"all2all_backend": "deepep_low_latency"},),
    "eplb": ({"eplb": True},),
    "attention_backend": ({"attention_backend": "FLASHINFER_MLA"},),
    "moe_backend": ({"moe_backend": "deep_gemm"},),
    "enforce_eager": ({"enforce_eager": True},),
    "compile_level": ({"compile_level": 0}, {"compile_level": 3}),
    "cudagraph_mode": tuple({"cudagraph_mode": mode} for mode in CUDAGRAPH_MODES),
    "cudagraph_capture_sizes": ({"cudagraph_capture_sizes": (1, 2, 4)},),
    "chat_template_file": ({"chat_template_file": __file__},),
    "tool_call_parser": ({"tool_call_parser": "hermes"}, {"tool_call_parser": "model"}),
    "reasoning_parser": ({"reasoning_parser": "deepseek_r1"}, {"reasoning_parser": "model"}),
    "cpu_threads": ({"cpu_threads": 2},),
    "cpu_binding": ({"cpu_binding": "0-3|4-7"},),
}
_PARSERS = Parsers(
    engine="vllm", tool="deepseek_v3", reasoning="deepseek_r1", source="test", date="2026-11-30"
)
_EXTRA = {"head": draft_weights("eagle")}


def _request(shape: Any = DEEPSEEK_R1, **more: Any) -> EngineRequest:
    degrees = {"tp": 8} if "dp" not in more and more.get("kind") != "cpu" else {}
    return request(shape, precision="fp8", extra=_EXTRA, parsers=_PARSERS, **{**degrees, **more})


_REQUESTS = (
    _request(),
    _request(source="hub:org/name"),
    _request(needs=ServingNeeds(prefix_caching=True)),
    _request(ep=8),
    _request(tp=1, dp=8, ep=8),
    _request(attention_dp=8, ep=8),
    _request(LLAMA_70B, tp=4, pp=2),
    _request(LLAMA_70B, tp=4, pcp=2),
    _request(dcp=8),
    _request(kind="amd", tp=8),
    _request(LLAMA_70B, kind="cpu"),
    _request(LLAMA_70B, kind="cpu", dp=2),
)


def _flags() -> dict[str, dict[str, Any]]:
    return {name: flag for flag in _CAPTURED["flags"] for name in flag["names"]}


def _all_processes() -> Iterator[Any]:
    for asked in _REQUESTS:
        yield process(asked)
    for connector in ("nixl", "mooncake"):
        for one in engine(kv_connector=connector).plan(_request(pools=xpyd(2, 1))).processes:
            if one.role != "router":
                yield one
        for key in ("prefill", "decode"):
            yield engine(kv_connector=connector).worker(_request(pools=xpyd(1, 1, WIDE)), key)
    for samples in _SAMPLES.values():
        for options in samples:
            yield from _plans(options)


def _plans(options: dict[str, Any]) -> Iterator[Any]:
    if {"kv_connector", "router_policy"} & {*options}:
        yield from engine(**options).plan(_request(pools=xpyd(2, 1))).processes[:2]
        return
    if not {"cpu_threads", "cpu_binding"} & {*options}:
        yield process(_request(), **options)
    if options.get("speculation") != "mtp" and not _OF_EXPERTS & {*options}:
        yield process(_request(LLAMA_70B, kind="cpu"), **options)


def test_every_option_has_a_sample() -> None:
    """A new option is checked against vLLM's parser, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(VllmOptions)}


def test_vllm_takes_every_flag() -> None:
    """Name, type and choices of each flag are those of vLLM's parser."""
    known, seen = _flags(), set()
    for one in _all_processes():
        for name, value in one.flags.items():
            assert name in known, name
            assert name == known[name]["names"][0], f"{name} is not the canonical name"
            _check(known[name], value)
            seen.add(name)
    # Each flag that the plugin's code names was produced.
    assert len(seen) >= 40, sorted(seen)


def _check(flag: dict[str, Any], value: FlagValue) -> None:
    kind, place = flag["kind"], (flag["names"][0], value)
    if isinstance(value, bool):
        assert kind in ("boolean", "switch"), place
        assert value or kind == "boolean", f"{place} has no negative form"
        return
    if isinstance(value, FrozenMap):
        assert flag["type"] == "json", place
        assert set(value) <= set(flag["fields"]), place
        return
    assert kind in ("value", "values"), place
    assert isinstance(value, tuple) == (kind == "values") or flag["names"][0] == _NAMES, place
    for item in value if isinstance(value, tuple) else (value,):
        text = str(item)
        if flag["type"] in ("int", "float") and "{" not in text:
            (int if flag["type"] == "int" else float)(text)
        assert flag["type"] != "json", place
        if "choices" in flag:
            assert text in flag["choices"], place
        assert item in _CAPTURED["values"].get(flag["names"][0], [item]), place


# It takes several names; one is given.
_NAMES = "--served-model-name"


def test_speculation_methods_are_known_to_vllm() -> None:
    """`--spec-method` has the choices of the configuration's `method`."""
    methods = _flags()["--spec-method"]["choices"]
    for options in _SAMPLES["speculation"]:
        config = process(_request(), **options).flags["--speculative-config"]
        assert isinstance(config, FrozenMap)
        assert config["method"] in methods


def test_vllm_reads_every_variable() -> None:
    """Variables that start with VLLM_ are in vLLM's list."""
    known = set(_CAPTURED["environment"])
    found = {name for one in _all_processes() for name in one.environment}
    assert {"VLLM_SERVER_DEV_MODE", "VLLM_CPU_KVCACHE_SPACE"} <= found
    assert {name for name in found if name.startswith("VLLM_")} <= known


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (("-tp", 8), ("--tensor-parallel-size", 8)),
        (("-dp", 2), ("--data-parallel-size", 2)),
        (("-q", "fp8"), ("--quantization", "fp8")),
        (("--no-enable-prefix-caching", True), ("--enable-prefix-caching", False)),
        (("--max_num_seqs", 4), ("--max-num-seqs", 4)),
        (("-sc.method", "mtp"), ("--speculative-config.method", "mtp")),
        (("--device-memory-utilization", 0.5), ("--gpu-memory-utilization", 0.5)),
    ],
)
def test_other_spellings_meet(
    written: tuple[str, FlagValue], canonical: tuple[str, FlagValue]
) -> None:
    """A suite's spelling of a flag replaces the plugin's."""
    assert _GRAMMAR.canonical(*written) == canonical


def test_a_negative_form_reaches_the_command_line() -> None:
    """vLLM switches prefix caching on unless told otherwise."""
    assert _GRAMMAR.render("--enable-prefix-caching", False) == ("--no-enable-prefix-caching",)


def test_the_capture_says_where_it_comes_from() -> None:
    """Origin, version and date."""
    found = _CAPTURED
    assert found["version"].startswith("0.32.")
    assert found["origin"] and found["date"]
