"""The data of the page: columns, with repeated texts and arrays stored once.

Numbers have 5 significant digits, half-widths 3, relative to their value: they are shown with
fewer, and 5,000 points fit into a few megabytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    CheckOutcome,
    Economics,
    Estimate,
    EvalOutcome,
    MetricDefinition,
    PointResult,
    RateView,
    RunView,
    View,
)

SCHEMA = 1
WINDOWS = ("steady", "whole")
STATISTICS = ("mean", "p50", "p75", "p90", "p95", "p99", "p99_9")
_PER_WINDOW = (
    "total_tok_s_per_accelerator",
    "output_tok_s_per_accelerator",
    "input_tok_s_per_accelerator",
    "input_tok_s_per_prefill_accelerator",
    "output_tok_s_per_decode_accelerator",
    "req_s",
    "goodput_req_s",
    "throughput_bound_share",
)
_PER_STATISTIC = ("interactivity_tok_s", "ttft_s", "e2e_s", "tpot_s")
_SINGLE = (
    "normalised_interactivity_tok_s",
    "energy_j_per_total_token.accelerator",
    "energy_j_per_output_token.accelerator",
    "energy_j_per_input_token.accelerator",
    "energy_j_per_total_token.host",
    "energy_j_per_output_token.host",
    "energy_j_per_input_token.host",
    "power_w.accelerator",
    "power_w.host",
    "accepted_draft_share.server",
    "tpot_bound_share.p50",
    "assumed_tokens_per_step",
)
METRICS = (
    *(f"{name}.{window}" for window in WINDOWS for name in _PER_WINDOW),
    *(f"{name}.{statistic}" for name in _PER_STATISTIC for statistic in STATISTICS),
    *_SINGLE,
)
"""The metrics that the page knows; the files of the reporter `files` have all."""

_UNKNOWN = "unknown"


class _Store:
    """Texts and arrays, each stored once and named by its index."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.arrays: dict[tuple[Any, ...], int] = {}
        self._rounded: dict[tuple[float | None, ...], int | None] = {}

    def text(self, text: str | None) -> int | None:
        return None if text is None else self.texts.setdefault(text, len(self.texts))

    def array(self, values: Iterable[Any]) -> int | None:
        """None for an array without any value."""
        found = tuple(values)
        if all(value is None for value in found):
            return None
        return self.arrays.setdefault(found, len(self.arrays))

    def numbers(self, values: tuple[float | None, ...]) -> int | None:
        """Numbers rounded by :func:`_short`; several sets of rates have the same columns."""
        if values not in self._rounded:
            self._rounded[values] = self.array(map(_short, values))
        return self._rounded[values]

    def words(self, texts: Iterable[str | None]) -> int | None:
        return self.array(map(self.text, texts))


def payload(view: View, title: str) -> dict[str, Any]:
    """A document of standard JSON."""
    points = [(run, result) for run in view.runs for result in run.results]
    results = [result for _, result in points]
    store = _Store()
    document = {
        "schema": SCHEMA,
        "title": title,
        "count": len(points),
        "facts": _facts(store, points),
        "details": [_details(result) for result in results],
        "metrics": _metrics(store, results),
        "rates": [_rates(store, one) for one in view.economics.rates] if view.economics else [],
        "prices": _prices(view.economics),
        "compositions": _compositions(view.economics),
        "definitions": _definitions(view),
        "runs": [_run(run) for run in view.runs],
    }
    document["texts"] = list(store.texts)
    document["arrays"] = list(store.arrays)
    return document


def as_json(document: Any) -> str:
    """ASCII JSON that cannot end or open an element of the page."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def workload_label(result: PointResult) -> str:
    """``random (input_tokens=1024, output_tokens=1024)``."""
    options = ", ".join(
        f"{key}={'-' if value is None else value}"
        for key, value in sorted(result.workload_options.items())
    )
    return f"{result.workload} ({options})" if options else result.workload


def _facts(store: _Store, points: Sequence[tuple[RunView, PointResult]]) -> dict[str, Any]:
    """One column per fact; texts by index, numbers as they are."""
    results = [result for _, result in points]
    words: dict[str, Iterable[str | None]] = {
        "run": (run.name if run.name == run.id else f"{run.name} ({run.id})" for run, _ in points),
        "point": (r.point for r in results),
        "deployment": (r.deployment for r in results),
        "model": (r.model for r in results),
        "hardware": (r.hardware for r in results),
        "engine": (r.engine for r in results),
        "engine_version": (r.engine_version for r in results),
        "precision": (r.precision or _UNKNOWN for r in results),
        "speculation": (r.speculation or _UNKNOWN for r in results),
        "disaggregation": ("disaggregated" if r.roles else "aggregated" for r in results),
        "layout": (r.layout for r in results),
        "workload": map(workload_label, results),
        "level": (r.level.label for r in results),
        "state": (r.state.value for r in results),
        "measurement": (r.measurement.value for r in results),
        "accuracy": (r.accuracy.value for r in results),
        "server": (r.server for r in results),
        "devices": (r.devices for r in results),
        "date": (r.date for r in results),
    }
    numbers = {
        "accelerators": (r.accelerators for r in results),
        "concurrency": (r.level.concurrency for r in results),
        "rate_per_s": (_short(r.level.rate_per_s) for r in results),
        "repeats": (r.repeats for r in results),
        "saturated": (None if r.saturated is None else int(r.saturated) for r in results),
    }
    return {
        "words": {name: store.words(column) for name, column in words.items()},
        "numbers": {name: store.array(column) for name, column in numbers.items()},
    }


def _details(result: PointResult) -> dict[str, Any]:
    """What is shown of a chosen point; keys without content are left out."""
    notable = [
        [check.name, check.outcome.value, check.evidence]
        for check in result.checks
        if check.outcome not in (CheckOutcome.OK, CheckOutcome.NOT_ASSESSED)
    ]
    origin = result.origin
    found: dict[str, Any] = {
        "checks": notable,
        "ok": sum(check.outcome is CheckOutcome.OK for check in result.checks),
        "error": result.error,
        "notes": list(result.notes),
        "roles": dict(result.roles) if result.roles else None,
        "evals": [_eval(outcome) for outcome in result.evals],
    }
    if origin is not None:
        row = "" if origin.row is None else f", row {origin.row}"
        found["origin"] = f"{origin.format}: {', '.join(origin.files)}{row}"
        found["url"] = origin.url
        found["fields"] = {k: str(v) for k, v in origin.fields.items() if v is not None}
    return {key: value for key, value in found.items() if value}


def _eval(outcome: EvalOutcome) -> dict[str, Any]:
    return {
        "eval": outcome.eval,
        "metric": outcome.metric,
        "value": _short(outcome.value),
        "interval": [_short(end) for end in outcome.interval],
        "n": outcome.n,
        "threshold": _short(outcome.threshold),
        "accuracy": outcome.accuracy.value,
        "twin": list(outcome.twin_settings),
        "canary": outcome.canary,
        "questions": outcome.questions,
        "confidence": _short(outcome.confidence),
    }


def _metrics(store: _Store, results: Sequence[PointResult]) -> dict[str, Any]:
    """Value and relative half-width of each metric that any point has."""
    found = {}
    for name in METRICS:
        estimates = [result.metrics.get(name) for result in results]
        values = store.array(_short(one.mean) if one else None for one in estimates)
        if values is not None:
            widths = store.array(_relative(one) for one in estimates)
            found[name] = {"v": values, "w": widths}
    return found


def _rates(store: _Store, rates: RateView) -> dict[str, Any]:
    return {
        "name": rates.name,
        "ownership": rates.ownership,
        "identities": list(rates.identities),
        "notes": list(rates.notes),
        "usd": dict(rates.usd_per_hour),
        "watts": dict(rates.all_in_w),
        "columns": {
            column.name: {
                "v": store.numbers(column.values),
                "w": store.array(map(_share, column.values, column.half_widths)),
                "h": store.words(column.hints),
                "basis": column.basis,
            }
            for column in rates.columns
        },
    }


def _prices(economics: Economics | None) -> list[dict[str, Any]]:
    return [
        {
            "provider": price.provider,
            "model": price.model,
            "input": price.input,
            "cached": price.cached_input,
            "output": price.output,
            "identity": price.identity,
        }
        for price in (economics.prices if economics else ())
    ]


def _compositions(economics: Economics | None) -> list[dict[str, Any]]:
    return [
        {
            "family": one.family,
            "base": one.base,
            "engines": list(one.base_engines),
            "gains": [
                {
                    "changes": list(gain.changes),
                    "engines": list(gain.engines),
                    "reason": gain.reason,
                    "at": [[_short(number) for number in attrs.astuple(at)] for at in gain.at],
                }
                for gain in one.gains
            ],
        }
        for one in (economics.compositions if economics else ())
    ]


def _definitions(view: View) -> list[dict[str, Any]]:
    derived: tuple[MetricDefinition, ...] = view.economics.definitions if view.economics else ()
    return [
        {
            "name": one.name,
            "title": one.title,
            "unit": one.unit,
            "text": one.definition,
            "better": one.higher_is_better,
            "derived": one in derived,
        }
        for one in dict.fromkeys((*view.definitions, *derived))
    ]


def _run(run: RunView) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "started": run.started,
        "finished": run.finished,
        "state": run.state,
        "error": run.error,
        "notes": list(run.notes),
        "points": len(run.results),
        "evals": [_eval(outcome) for outcome in run.evals],
        "provenance": dict(run.provenance),
    }


def _short(value: float | None) -> float | int | None:
    """5 significant digits; whole numbers without a point."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.5g}")
    return int(short) if short.is_integer() else short


def _relative(estimate: Estimate | None) -> float | int | None:
    return _share(estimate.mean, estimate.half_width) if estimate else None


def _share(value: float | None, half_width: float | None) -> float | int | None:
    """Half-width / value with 3 significant digits; None where there is none, or the value is 0."""
    if not value or half_width is None or not math.isfinite(half_width / value):
        return None
    share = float(f"{abs(half_width / value):.3g}")
    return int(share) if share.is_integer() else share
