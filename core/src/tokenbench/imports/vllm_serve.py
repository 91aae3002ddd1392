"""Result files of `vllm bench serve` (``--save-result``), read in files of vLLM 0.23 and 0.32."""

from __future__ import annotations

from tokenbench.api import FrozenMap, LoadLevel

from .draft import Draft, interactivity
from .fields import Fields, Scalar

REQUIRED = ("model_id", "completed", "duration", "output_throughput", "total_token_throughput")
_TIMES = {"ttft": "ttft_s", "tpot": "tpot_s", "itl": "itl_chunk_s", "e2el": "e2e_s"}
_STATISTICS = {
    "mean": "mean",
    "median": "p50",
    "p50": "p50",
    "p75": "p75",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p99.9": "p99_9",
}
_KEPT = ("backend", "endpoint_type", "tokenizer_id", "label")
_MS = 1e-3


def read(document: Fields) -> list[Draft]:
    """The one measurement of the file."""
    document.require(*REQUIRED)
    metrics = _metrics(document)
    completed = document.count("completed") or 0
    options: dict[str, Scalar] = {"requests": document.count("num_prompts")}
    if completed:
        options["mean_input_tokens"] = round(metrics["input_tokens"] / completed)
        options["mean_output_tokens"] = round(metrics["output_tokens"] / completed)
    level, notes = _level(document)
    return [
        Draft(
            file=document.place.file.name,
            model=document.word("model_id") or "",
            workload_options=FrozenMap(options),
            level=level,
            metrics={**metrics, **interactivity(metrics)},
            date=_date(document.word("date")),
            fields=FrozenMap({key: document.word(key) for key in _KEPT if document.get(key)}),
            notes=notes,
        )
    ]


def _metrics(document: Fields) -> dict[str, float]:
    found = {
        "requests_ok": document.number("completed"),
        "requests_failed": document.number("failed"),
        "input_tokens": document.number("total_input_tokens"),
        "output_tokens": document.number("total_output_tokens"),
        "duration_s.whole": document.number("duration"),
        "req_s.whole": document.number("request_throughput"),
        "goodput_req_s.whole": document.number("request_goodput"),
        "output_tok_s.whole": document.number("output_throughput"),
        "total_tok_s.whole": document.number("total_token_throughput"),
    }
    document.require("total_input_tokens", "total_output_tokens")
    for field, metric in _TIMES.items():
        for theirs, ours in _STATISTICS.items():
            value = document.number(f"{theirs}_{field}_ms")
            if value is not None:
                found[f"{metric}.{ours}"] = value * _MS
    known = {name: value for name, value in found.items() if value is not None}
    if duration := known["duration_s.whole"]:
        known["input_tok_s.whole"] = known["input_tokens"] / duration
    return known


def _level(document: Fields) -> tuple[LoadLevel, tuple[str, ...]]:
    """Requests in flight, or a rate; a rate of ``inf`` sends all requests at once."""
    in_flight = document.count("max_concurrency")
    rate = document.get("request_rate")
    if rate in (None, "inf", float("inf")):
        return LoadLevel(concurrency=in_flight or document.count("num_prompts") or 1), ()
    burstiness = document.number("burstiness") or 1.0
    notes = () if in_flight is None else (f"at most {in_flight} requests were in flight",)
    arrival = "poisson" if burstiness == 1 else "gamma"
    per_s = document.number("request_rate")
    if not per_s or per_s <= 0:
        raise document.wrong("request_rate", "more than 0", rate)
    return LoadLevel(rate_per_s=per_s, arrival=arrival, burstiness=burstiness), notes


def _date(text: str | None) -> str | None:
    """``2026-11-26`` of ``20261126-172557``."""
    if text is None or len(text) < 8 or not text[:8].isdigit():
        return None
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"
