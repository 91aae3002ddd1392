"""``benchmarks.json`` of GuideLLM, report versions 1 and 2 (GuideLLM 0.4 to 0.8).

`request_latency` is in seconds, other latencies in milliseconds. `time_per_output_token_ms` is
E2E / tokens, the first one included; `inter_token_latency_ms` excludes it, and both are
distributions in which a request counts once per token. Throughputs are the mean over the measured
time. Source: GuideLLM's guide to its metrics, and a file of version 0.8.1, 2026-11-30.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from tokenbench.api import FrozenMap, LoadLevel

from .draft import Draft, interactivity
from .fields import Fields, Scalar

REQUIRED = ("benchmarks",)
_STATISTICS = {
    "p50": "p50",
    "p75": "p75",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p999": "p99_9",
}
_DISTRIBUTIONS = {
    "time_to_first_token_ms": ("ttft_s", 1e-3),
    "inter_token_latency_ms": ("tpot_s", 1e-3),
    "request_latency": ("e2e_s", 1.0),
}
_RATES = {
    "requests_per_second": "req_s.whole",
    "output_tokens_per_second": "output_tok_s.whole",
    "prompt_tokens_per_second": "input_tok_s.whole",
}
_UNEQUAL = (
    "GuideLLM's TPOT counts a request once per token, so it is not the distribution over requests "
    "if answers differ in length"
)


def read(document: Fields) -> list[Draft]:
    """One measurement per entry of `benchmarks`."""
    entries = document.get("benchmarks")
    if not isinstance(entries, list) or not entries:
        raise document.wrong("benchmarks", "a list of benchmarks", entries)
    drafts = []
    for number, entry in enumerate(entries, 1):
        place = attrs.evolve(document.place, row=number)
        if not isinstance(entry, Mapping):
            raise Fields({}, place).wrong("benchmarks", "a mapping", entry)
        drafts.append(_draft(Fields(entry, place), document))
    return drafts


def _draft(entry: Fields, document: Fields) -> Draft:
    entry.require("config", "metrics")
    blocks, config = entry.section("metrics"), entry.section("config")
    blocks.require("output_tokens_per_second", "request_totals")
    metrics = _metrics(blocks, entry)
    lengths: dict[str, Scalar] = {"requests": int(metrics["requests_ok"])}
    for field, name in (
        ("prompt_token_count", "mean_input_tokens"),
        ("output_token_count", "mean_output_tokens"),
    ):
        if (mean := _ok(blocks, field).number("mean")) is not None:
            lengths[name] = round(mean)
    spread = _ok(blocks, "output_token_count").number("std_dev")
    version = document.section("metadata").word("guidellm_version")
    started = entry.number("start_time")
    return Draft(
        file=entry.place.file.name,
        row=entry.place.row,
        model=config.section("backend").word("model") or "unknown",
        workload_options=FrozenMap(lengths),
        level=_level(config.section("strategy")),
        metrics={**metrics, **interactivity(metrics)},
        date=None if started is None else _day(started),
        fields=FrozenMap({"guidellm_version": version} if version else {}),
        notes=(_UNEQUAL,) if spread else (),
    )


def _ok(blocks: Fields, name: str) -> Fields:
    return blocks.section(name).section("successful")


def _metrics(blocks: Fields, entry: Fields) -> dict[str, float]:
    totals = blocks.section("request_totals")
    totals.require("successful")
    errored, incomplete = totals.number("errored") or 0.0, totals.number("incomplete") or 0.0
    found: dict[str, float | None] = {
        "requests_ok": totals.number("successful"),
        "requests_failed": errored + incomplete,
        "duration_s.whole": entry.number("duration"),
        "input_tokens": _ok(blocks, "prompt_token_count").number("total_sum"),
        "output_tokens": _ok(blocks, "output_token_count").number("total_sum"),
    }
    for field, metric in _RATES.items():
        found[metric] = _ok(blocks, field).number("mean")
    for field, (metric, scale) in _DISTRIBUTIONS.items():
        block = _ok(blocks, field)
        values = {"mean": block.number("mean")}
        percentiles = block.section("percentiles")
        values |= {ours: percentiles.number(theirs) for theirs, ours in _STATISTICS.items()}
        found |= {f"{metric}.{s}": v * scale for s, v in values.items() if v is not None}
    per_token = _ok(blocks, "time_per_output_token_ms").section("percentiles").number("p90")
    if per_token:
        found["normalised_interactivity_tok_s"] = 1e3 / per_token
    return {name: value for name, value in found.items() if value is not None}


def _level(strategy: Fields) -> LoadLevel:
    kind = strategy.word("type_")
    if kind in ("constant", "poisson", "async"):
        rate = strategy.number("rate")
        if not rate:
            raise strategy.wrong("rate", "more than 0", strategy.get("rate"))
        return LoadLevel(rate_per_s=rate, arrival="poisson" if kind == "poisson" else "constant")
    if kind == "synchronous":
        return LoadLevel(concurrency=1)
    streams = strategy.count("streams") or strategy.count("max_concurrency")
    if kind not in ("concurrent", "throughput") or not streams:
        raise strategy.wrong("type_", "a strategy with streams or a rate", kind)
    return LoadLevel(concurrency=streams)


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
