"""``profile_export_aiperf.json`` of AIPerf, schema 1.x.

The units are those that each metric states. `inter_token_latency` is (request latency - TTFT) /
(tokens - 1) of a request, which is TPOT here; `inter_chunk_latency` are the gaps between chunks.
Source: AIPerf's documentation of the file, and a file of version 0.13.0, 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Mapping

from tokenbench.api import FrozenMap, LoadLevel

from .draft import Draft, interactivity
from .fields import Fields, Scalar
from .units import scaled, total

REQUIRED = ("aiperf_version", "input_config")
_DISTRIBUTIONS = {
    "time_to_first_token": "ttft_s",
    "inter_token_latency": "tpot_s",
    "inter_chunk_latency": "itl_chunk_s",
    "request_latency": "e2e_s",
}
_STATISTICS = {"avg": "mean", **{p: p for p in ("p50", "p75", "p90", "p95", "p99")}}
_TOTALS = {
    "request_throughput": "req_s.whole",
    "goodput": "goodput_req_s.whole",
    "output_token_throughput": "output_tok_s.whole",
    "input_token_throughput": "input_tok_s.whole",
    "total_token_throughput": "total_tok_s.whole",
    "request_count": "requests_ok",
    "error_request_count": "requests_failed",
    "total_isl": "input_tokens",
    "total_osl": "output_tokens",
    "benchmark_duration": "duration_s.whole",
}


def read(document: Fields) -> list[Draft]:
    """The one measurement of the file."""
    document.require(*REQUIRED, "output_token_throughput")
    config = document.section("input_config")
    metrics: dict[str, float] = {}
    for field, metric in _DISTRIBUTIONS.items():
        metrics |= scaled(document.section(field), _STATISTICS, metric, "unit")
    for field, metric in _TOTALS.items():
        if (value := total(document.section(field), "avg", "unit")) is not None:
            metrics[metric] = value
    version = document.word("aiperf_version")
    return [
        Draft(
            file=document.place.file.name,
            model=_model(config),
            workload_options=_lengths(document, metrics),
            level=_level(config),
            metrics={**metrics, **interactivity(metrics)},
            date=(document.word("start_time") or "")[:10] or None,
            fields=FrozenMap({"aiperf_version": version}),
            notes=_notes(document),
        )
    ]


def _model(config: Fields) -> str:
    items = config.section("models").get("items")
    names = [i.get("name") for i in items or () if isinstance(i, Mapping)]
    names = names or config.section("endpoint").get("model_names") or []
    if len(names) != 1 or not isinstance(names[0], str):
        raise config.wrong("models", "one model", names)
    return names[0]


def _level(config: Fields) -> LoadLevel:
    """The load of the one measured phase."""
    phases = [p for p in config.get("phases") or () if isinstance(p, Mapping)]
    measured = [p for p in phases if p.get("kind", "profiling") == "profiling"]
    if len(measured) > 1:
        raise config.wrong("phases", "one measured phase", f"{len(measured)} phases")
    fallback = config.section("loadgen").values or config.section("runtime").values
    phase = Fields(measured[0] if measured else fallback, config.place, "input_config.phases[0].")
    rate = phase.number("rate") or phase.number("request_rate")
    if rate is not None and rate > 0:
        arrival = phase.get("type")
        shape = phase.number("smoothness") if arrival == "gamma" else None
        known = arrival if arrival in ("poisson", "gamma", "constant") else "poisson"
        return LoadLevel(rate_per_s=rate, arrival=known, burstiness=shape or 1.0)
    concurrency = phase.count("concurrency")
    if not concurrency:
        raise config.place.error(
            "no load: neither a concurrency nor a request rate of one phase",
            "only runs with a fixed concurrency or rate can be imported",
        )
    return LoadLevel(concurrency=concurrency)


def _lengths(document: Fields, metrics: Mapping[str, float]) -> FrozenMap[Scalar]:
    found: dict[str, Scalar] = {"requests": int(metrics.get("requests_ok", 0))}
    for field, name in (
        ("input_sequence_length", "mean_input_tokens"),
        ("output_sequence_length", "mean_output_tokens"),
    ):
        mean = document.section(field).number("avg")
        if mean is not None:
            found[name] = round(mean)
    return FrozenMap(found)


def _notes(document: Fields) -> tuple[str, ...]:
    notes = []
    differing = document.section("usage_discrepancy_count").number("avg")
    if differing:
        notes.append(
            f"tokens were counted by AIPerf's tokenizer; for {differing:.0f} requests the server's "
            "own count differs"
        )
    if document.flag("was_cancelled"):
        notes.append("the run was cancelled before its end")
    return tuple(notes)
