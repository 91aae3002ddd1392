"""Every flag and every key of a file that the plugin can produce, against TensorRT-LLM's own
definitions (surface.json).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest
from tokenbench_engine_trtllm.options import CONNECTORS, KV_DTYPES, MOE_BACKENDS, SPECULATION
from tokenbench_engine_trtllm.plugin import TrtllmOptions
from trtllm_cases import LLAMA_70B, draft_weights, engine, request, xpyd

from tokenbench.api import (
    FlagGrammar,
    FlagValue,
    Parsers,
    ProcessSpec,
    ServingNeeds,
    Topology,
    is_dense,
    package_json,
)

_PACKAGE = "tokenbench_engine_trtllm"
_SURFACE = package_json(_PACKAGE, "surface.json")
_MTP = {"speculation": "mtp", "speculative_tokens": 3}
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/trtllm/bin/python"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "context_tokens": ({"context_tokens": 10_000},),
    "max_batch_size": ({"max_batch_size": 8},),
    "max_num_tokens": ({"max_num_tokens": 4096},),
    "free_gpu_memory_fraction": ({"free_gpu_memory_fraction": 0.75},),
    "block_size": ({"block_size": 64},),
    "kv_cache_dtype": tuple({"kv_cache_dtype": dtype} for dtype in KV_DTYPES),
    "kv_offload_gib": ({"kv_offload_gib": 64.0},),
    "chunked_prefill": ({"chunked_prefill": True}, {"chunked_prefill": False}),
    "dtype": tuple({"dtype": t} for t in ("auto", "bfloat16", "float16", "float32")),
    "load_format": ({"load_format": "dummy"}, {"load_format": "auto"}),
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
        {**_MTP, "speculative_model": "org/heads"},
    ),
    "ngram_max": ({"speculation": "ngram", "speculative_tokens": 3, "ngram_max": 6},),
    "synthetic_acceptance_length": ({**_MTP, "synthetic_acceptance_length": 2.4},),
    "moe_backend": tuple({"moe_backend": name} for name in MOE_BACKENDS),
    "attention_dp_balance": ({"attention_dp_balance": True},),
    "cuda_graphs": ({"cuda_graphs": False},),
    "cuda_graph_padding": ({"cuda_graph_padding": False},),
    "cuda_graph_batch_sizes": ({"cuda_graph_batch_sizes": (1, 2, 4)},),
    "stream_interval": ({"stream_interval": 10},),
    "num_postprocess_workers": ({"num_postprocess_workers": 4},),
    "request_metrics": ({"request_metrics": False},),
    "iteration_metrics": ({"iteration_metrics": True},),
    "kv_connector": tuple({"kv_connector": name} for name in CONNECTORS),
    "mpirun": ({"mpirun": "/opt/mpi/bin/mpirun"},),
    "chat_template_file": ({"chat_template_file": __file__},),
    "tool_call_parser": ({"tool_call_parser": "auto"}, {"tool_call_parser": "model"}),
    "reasoning_parser": ({"reasoning_parser": "deepseek-r1"}, {"reasoning_parser": "model"}),
}
_PARSERS = Parsers(
    engine="trtllm", tool="deepseek_v3", reasoning="deepseek-r1", source="test", date="2026-12-01"
)


def _requests() -> Iterator[Any]:
    more: dict[str, Any] = {"extra": {"head": draft_weights("eagle")}, "parsers": _PARSERS}
    for degrees in (
        {"tp": 8},
        {"tp": 8, "ep": 8},
        {"tp": 8, "ep": 8, "attention_dp": 8},
        {"tp": 8, "pp": 2},
        {"tp": 16, "ep": 16, "attention_dp": 16},
    ):
        yield request(**more, **degrees)
    yield request(source="hub:org/name", needs=ServingNeeds(prefix_caching=True), **more)
    yield request(LLAMA_70B, tp=8, **more)
    yield request(pools=xpyd(2, 1, Topology(tp=16, ep=16, attention_dp=16)), **more)


def _all_processes() -> Iterator[ProcessSpec]:
    for asked in _requests():
        for samples in _SAMPLES.values():
            for options in samples:
                if options.get("speculation") == "mtp" and not asked.architecture.mtp_heads:
                    continue
                pools = asked.layout.pools
                if "kv_connector" in options and not asked.layout.disaggregated:
                    continue
                if "attention_dp_balance" in options and pools[0].topology.attention_dp == 1:
                    continue
                if "moe_backend" in options and is_dense(asked.architecture):
                    continue
                made = engine(**options)
                yield from made.plan(asked).processes
                for pool in pools:
                    yield made.worker(asked, pool.key)


def test_every_option_has_a_sample() -> None:
    """A new option is checked against TensorRT-LLM's definitions, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(TrtllmOptions)}


def test_trtllm_takes_every_flag() -> None:
    """Name, type and choices of each flag are those of its click options."""
    seen: set[str] = set()
    for one in _all_processes():
        program = one.argv[3]
        known = {name: flag for flag in _SURFACE[program] for name in flag["names"]}
        for name, value in one.flags.items():
            assert name == known[name]["names"][0], f"{name} is not the canonical name"
            _check(known[name], value, name)
            seen.add(name)
    assert seen == {
        *("--host", "--port", "--served_model_name", "--config", "--server_role"),
        *("--chat_template", "--tool_parser", "--reasoning_parser"),
        *("--config_file", "--request_timeout", "--server_start_timeout"),
    }


def test_trtllm_takes_every_key_of_its_files() -> None:
    """Name, type and choices of each, nested ones too. Unknown keys end a start."""
    seen: set[str] = set()
    for one in _all_processes():
        for file in one.files:
            if isinstance(file.content, str):
                continue
            kind = "llm_args" if one.argv[3] == "serve" else "disagg_file"
            for path, value in _leaves(file.content):
                entry = _SURFACE[kind].get(path)
                assert entry is not None or _is_null_section(path, value, kind), path
                if entry is not None:
                    _check({"kind": "value", **entry}, value, path)
                seen.add(f"{kind}:{path}")
    # Each key that the plugin's code names was produced.
    assert len(seen) >= 43, sorted(seen)


def _is_null_section(path: str, value: Any, kind: str) -> bool:
    """`cuda_graph_config: null` switches the section off (llm_args.py: an Optional)."""
    return value is None and any(key.startswith(f"{path}.") for key in _SURFACE[kind])


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in content.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{path}{key}.")
        else:
            yield path + key, item


def _check(entry: dict[str, Any], value: FlagValue, place: str) -> None:
    if isinstance(value, bool):
        assert entry.get("type") == "bool" or entry["kind"] in ("switch", "boolean"), place
        return
    if isinstance(value, tuple):
        assert entry["type"] == "list" and value, place
        return
    assert isinstance(value, str | int | float), place
    text = str(value)
    if entry["type"] in ("int", "float") and "{" not in text:
        (int if entry["type"] == "int" else float)(text)
    assert entry["type"] in ("int", "float", "str"), place
    assert text in entry.get("choices", [text]), (place, text)


def test_a_setting_stands_in_one_place() -> None:
    """The file is laid over the flags: no flag names a field that the file has."""
    for one in _all_processes():
        if one.argv[3] != "serve":
            continue
        keys = {path.partition(".")[0] for path, _ in _leaves(one.files[0].content)}  # type: ignore[arg-type]
        others = {name for flag in one.flags for name in _names(flag)}
        assert not keys & others, keys & others


def _names(flag: str) -> set[str]:
    (found,) = (entry for entry in _SURFACE["serve"] if flag in entry["names"])
    return {name.lstrip("-").replace("-", "_") for name in found["names"]}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (("--tp_size", 8), ("--tensor_parallel_size", 8)),
        (("--extra_llm_api_options", "f"), ("--config", "f")),
        (("--no-telemetry", True), ("--telemetry", False)),
    ],
)
def test_other_spellings_meet(
    written: tuple[str, FlagValue], canonical: tuple[str, FlagValue]
) -> None:
    """A suite's spelling of a flag replaces the plugin's."""
    assert (
        FlagGrammar.of_package(_PACKAGE, "surface.json", key="serve").canonical(*written)
        == canonical
    )


def test_the_surface_says_where_it_comes_from() -> None:
    """Origin, version and date."""
    found = _SURFACE
    assert found["version"].startswith("1.3.0") and found["origin"] and found["date"]
