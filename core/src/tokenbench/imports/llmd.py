"""Benchmark reports of llm-d-benchmark, version 0.2 and 0.2.1, as YAML or JSON.

The units are those that each block states. What `inter_token_latency` means depends on the load
generator that the report names. A component's accelerator count is that of one replica, and 0 where
it is unknown. Source: schema and converters of llmd-benchmark-report 0.2.1, 2026-11-30.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tokenbench.api import DECODE, PREFILL, FrozenMap, LoadLevel

from .draft import UNKNOWN, Draft, interactivity
from .fields import Fields, Scalar
from .units import scaled, total

REQUIRED = ("version", "scenario", "results")
VERSIONS = ("0.2", "0.2.1")
_STATISTICS = {
    **{name: name for name in ("mean", "p50", "p75", "p90", "p95", "p99")},
    "p99p9": "p99_9",
}
_LATENCIES = {
    "time_to_first_token": "ttft_s",
    "time_per_output_token": "tpot_s",
    "request_latency": "e2e_s",
}
_GAPS = MappingProxyType(
    {
        "vllm-benchmark": "itl_chunk_s",
        "inferencemax": "itl_chunk_s",
        "guidellm": "tpot_s",
        "aiperf": "tpot_s",
    }
)
"""Load generator -> meaning of its `inter_token_latency`; unknown for others."""
_RATES = {
    "request_rate": "req_s.whole",
    "output_token_rate": "output_tok_s.whole",
    "input_token_rate": "input_tok_s.whole",
    "total_token_rate": "total_tok_s.whole",
}


def read(document: Fields, sku: Callable[[str], str]) -> list[Draft]:
    """The one measurement of the report."""
    document.require(*REQUIRED)
    version = str(document.get("version"))
    if version not in VERSIONS:
        raise document.wrong("version", " or ".join(VERSIONS), version)
    results = document.section("results").section("request_performance").section("aggregate")
    if not results.values:
        raise document.place.error(
            "no results.request_performance.aggregate",
            "only reports with the performance of requests can be imported",
        )
    load = document.section("scenario").section("load")
    asked = load.section("standardized")
    metrics = _metrics(results, asked.word("tool"))
    level, notes = _level(asked, load)
    time = document.section("run").section("time")
    return [
        Draft(
            file=document.place.file.name,
            level=level,
            metrics={**metrics, **interactivity(metrics)},
            workload_options=_lengths(asked, results),
            date=str(time.get("start") or time.get("end") or "")[:10] or None,
            fields=FrozenMap(_fields(document, asked)),
            notes=notes,
            **_stack(document.section("scenario"), sku),
        )
    ]


def _metrics(results: Fields, tool: str | None) -> dict[str, float]:
    latency = results.section("latency")
    names = dict(_LATENCIES)
    gaps = _GAPS.get(tool or "")
    if gaps is not None and not (gaps == "tpot_s" and latency.get("time_per_output_token")):
        names["inter_token_latency"] = gaps
    metrics: dict[str, float] = {}
    for field, metric in names.items():
        metrics |= scaled(latency.section(field), _STATISTICS, metric, "units")
    for field, metric in _RATES.items():
        rate = total(results.section("throughput").section(field), "mean", "units")
        if rate is not None:
            metrics[metric] = rate
    requests = results.section("requests")
    sent, failed = requests.count("total"), requests.count("failures")
    incomplete = requests.count("incomplete") or 0
    if failed is not None:
        metrics["requests_failed"] = float(failed + incomplete)
        if sent is not None:
            metrics["requests_ok"] = float(sent - failed - incomplete)
    return metrics


def _level(asked: Fields, load: Fields) -> tuple[LoadLevel, tuple[str, ...]]:
    rate, in_flight = asked.get("rate_qps"), asked.get("concurrency")
    if rate is not None and rate != math.inf:
        per_s = asked.number("rate_qps")
        if not per_s:
            raise asked.wrong("rate_qps", "more than 0", rate)
        native = load.section("native").get("config")
        kind = native.get("load") if isinstance(native, Mapping) else None
        arrival = kind.get("type") if isinstance(kind, Mapping) else None
        if arrival in ("constant", "poisson"):
            return LoadLevel(rate_per_s=per_s, arrival=arrival), ()
        note = "the report does not state the arrival process; constant is assumed"
        return LoadLevel(rate_per_s=per_s, arrival="constant"), (note,)
    if in_flight is None or in_flight == math.inf:
        raise asked.place.error(
            "no load: neither concurrency nor rate_qps of scenario.load.standardized is finite",
            "only runs with a fixed concurrency or rate can be imported",
        )
    return LoadLevel(concurrency=asked.count("concurrency")), ()


def _lengths(asked: Fields, results: Fields) -> FrozenMap[Scalar]:
    found: dict[str, Scalar] = {}
    requests = results.section("requests")
    for field, name in (
        ("input_length", "mean_input_tokens"),
        ("output_length", "mean_output_tokens"),
    ):
        if (mean := requests.section(field).number("mean")) is not None:
            found[name] = round(mean)
    if (source := asked.word("source")) is not None:
        found["source"] = source
    if (sent := requests.count("total")) is not None:
        found["requests"] = sent
    return FrozenMap(found)


def _fields(document: Fields, asked: Fields) -> dict[str, Scalar]:
    known = {
        "run.uid": document.section("run").word("uid"),
        "load_generator": asked.word("tool"),
        "load_generator_version": asked.word("tool_version"),
    }
    return {name: value for name, value in known.items() if value}


def _stack(scenario: Fields, sku: Callable[[str], str]) -> dict[str, Any]:
    """The deployment, from the components of the engines."""
    stack = scenario.get("stack")
    components = [c for c in stack if isinstance(c, Mapping)] if isinstance(stack, list) else []
    engines = [
        Fields(made, scenario.place, "scenario.stack[].standardized.")
        for made in (c.get("standardized") for c in components)
        if isinstance(made, Mapping) and made.get("kind") == "inference_engine"
    ]
    if not engines:
        native = scenario.section("load").section("native").get("config")
        return {"model": _model_of(native)}
    first = engines[0]
    chip = first.section("accelerator").word("model")
    counts = {engine.word("role") or "": _count(engine) for engine in engines}
    known = all(counts.values())
    apart = set(counts) >= {PREFILL, DECODE}
    return {
        "model": first.section("model").word("name") or UNKNOWN,
        "engine": first.word("tool") or UNKNOWN,
        "engine_version": first.word("tool_version"),
        "hardware": sku(chip) if chip else UNKNOWN,
        "accelerators": sum(counts.values()) if known else None,
        "roles": FrozenMap({r: counts[r] for r in (PREFILL, DECODE)}) if apart and known else None,
        "layout": "+".join(_layout(engine, apart) for engine in engines),
    }


def _count(engine: Fields) -> int:
    return (engine.section("accelerator").count("count") or 0) * (engine.count("replicas") or 1)


def _layout(engine: Fields, apart: bool) -> str:
    degrees = engine.section("accelerator").section("parallelism")
    found = [(axis, degrees.count(axis) or 1) for axis in ("tp", "pp", "dp", "ep")]
    text = "".join(f"{axis}{degree}" for axis, degree in found if degree > 1) or "tp1"
    replicas = engine.count("replicas") or 1
    return f"{engine.word('role')}:{replicas}x{text}" if apart else text


def _model_of(native: object) -> str:
    """The model in GuideLLM's configuration, if the report has no stack."""
    for key in ("spec", "backend", "model"):
        native = native.get(key) if isinstance(native, Mapping) else None
    return native if isinstance(native, str) else UNKNOWN
