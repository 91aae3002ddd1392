"""Every flag that the plugin can produce, against the parser of ``transformers serve``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from tokenbench_engine_transformers.options import DTYPES, LOG_LEVELS, QUANTIZATION, REASONING
from tokenbench_engine_transformers.plugin import TransformersOptions
from transformers_cases import BATCHING, REUSE, process, request

from tokenbench.api import (
    FlagGrammar,
    ProcessSpec,
    package_json,
)

_PACKAGE = "tokenbench_engine_transformers"
_CAPTURED = package_json(_PACKAGE)
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/transformers/bin/python"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "device": ({"device": "cuda:0"},),
    "dtype": tuple({"dtype": one} for one in DTYPES),
    "quantization": tuple({"quantization": one} for one in QUANTIZATION),
    "attention": tuple({"attention": one} for one in _CAPTURED["attention"]),
    "compile": ({"compile": True},),
    "trust_remote_code": ({"trust_remote_code": True},),
    "continuous_batching": (BATCHING,),
    "block_size": ({**BATCHING, "block_size": 64},),
    "kv_cache_blocks": ({**BATCHING, "kv_cache_blocks": 100},),
    "max_num_batched_tokens": ({**BATCHING, "max_num_batched_tokens": 512},),
    "kv_cache_memory_share": ({**BATCHING, "kv_cache_memory_share": 0.5},),
    "cuda_graphs": tuple({**BATCHING, "cuda_graphs": on} for on in (True, False)),
    "reasoning": tuple({"reasoning": one} for one in REASONING),
    "chat_template_kwargs": ({"chat_template_kwargs": '{"enable_thinking": true}'},),
    "default_seed": ({"default_seed": 7},),
    "log_level": tuple({"log_level": one} for one in LOG_LEVELS),
    "cpu_threads": ({"cpu_threads": 2},),
}
# Why an option of the parser is not one of the plugin: see the README. The rest is core's.
_NOT_OFFERED = {
    "--model-timeout",
    "--enable-cors",
    "--decision-config",
    "--non-blocking",
}


def _all_processes() -> Iterator[ProcessSpec]:
    for kind in ("cpu", "nvidia"):
        for samples in _SAMPLES.values():
            for options in samples:
                if ("device" if kind == "cpu" else "cpu_threads") in options:
                    continue
                needs = REUSE if "continuous_batching" in options else None
                yield process(request(kind=kind, needs=needs), **options)


def test_every_option_has_a_sample() -> None:
    """A new option is checked against the parser, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(TransformersOptions)}


def test_transformers_takes_every_flag() -> None:
    """Name, type and choices are the parser's; and the plugin knows every option that matters."""
    known = {name: flag for flag in _CAPTURED["flags"] for name in flag["names"]}
    seen: set[str] = set()
    for one in _all_processes():
        for name, value in one.flags.items():
            _check(known[name], value)
            seen.add(name)
            words = one.grammar.render(name, value)
            assert words[0] in known or words[0] in known[name]["negations"]
    assert seen == set(known) - _NOT_OFFERED


def _check(flag: dict[str, Any], value: object) -> None:
    if isinstance(value, bool):
        assert flag["kind"] == "boolean", flag
        return
    assert flag["kind"] == "value", flag
    text = str(value)
    assert text in flag.get("choices", [text])
    if flag["type"] in ("int", "float") and "{" not in text:
        (int if flag["type"] == "int" else float)(text)


def test_choices_are_those_that_the_server_checks() -> None:
    """Its parser takes any text for them."""
    assert list(QUANTIZATION) == _CAPTURED["quantization"]
    assert "sdpa" in _CAPTURED["attention"]


def test_negative_forms() -> None:
    """A suite's spelling of a flag meets the plugin's."""
    assert FlagGrammar.of_package(_PACKAGE).canonical("--no-compile", True) == ("--compile", False)
    assert FlagGrammar.of_package(_PACKAGE).render("--cb-use-cuda-graph", False) == (
        "--no-cb-use-cuda-graph",
    )


def test_the_capture_says_where_it_comes_from() -> None:
    """Origin, version and date."""
    found = _CAPTURED
    assert found["version"] == "5.23.0" and found["origin"] and found["date"]
