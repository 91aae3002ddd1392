"""Metrics of one repeat, computed from its records as `definitions` defines them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.load.records import ABSENT, PhaseSummary, Status
from tokenbench.suite.slo import Objective

from .answers import counted, without_tokens
from .arrays import NS_PER_S, Floats, Ints, Rows
from .definitions import PER_ACCELERATOR, PER_ROLE, STATISTICS
from .goodput import goodput, meets_objectives, tpot_s
from .percentiles import Metrics, statistics_of
from .sessions import session_metrics, ttft_groups
from .window import Window, steady_window, whole_window

# Beginnings of the names of metrics that need answers with tokens.
_OF_TOKENS = (
    *("ttft_", "tpot_", "itl_", "interactivity_", "normalised_interactivity_"),
    *("output_tok", "total_tok"),
)


def measure_repeat(
    records: Rows,
    chunks: Rows,
    phase: PhaseSummary,
    *,
    accelerators: int,
    roles: dict[str, int] | None = None,
    objectives: Sequence[Objective] = (),
    sessions: Rows | None = None,
) -> Metrics:
    """All metrics of a repeat except energy, by name; None if not measured.

    Args:
        records: rows of `RECORD_DTYPE`; `chunk_offset` and `chunks` must lie within `chunks`.
        accelerators: of the whole deployment; 0 if there are none.
        roles: accelerators by role (``prefill``, ``decode``) in a disaggregated deployment.
        objectives: the limits that a request must meet to count for goodput; empty: no goodput.
        sessions: rows of `SESSION_DTYPE`, of the sessions that are not single requests.
    """
    no_tokens = without_tokens(records)
    records = counted(records)
    ok = records[records["status"] == Status.OK]
    steady = steady_window(records, phase)
    whole = whole_window(phase)
    tokens = tokens_by_chunk(ok, chunks)
    failed = (records["status"] != Status.OK) & (records["status"] != Status.CANCELLED)
    metrics: Metrics = {
        "requests_ok": float(len(ok)),
        "requests_failed": float(np.count_nonzero(failed)),
        "input_tokens": _sum(ok["n_in"]),
        "output_tokens": _sum(ok["n_out"]),
        "cached_input_share": _cached(ok),
        "duration_s.whole": whole.seconds,
        "duration_s.steady": steady.seconds,
    }
    metrics.update(_latencies(ok, tokens))
    counts = {
        "whole": (
            whole.seconds,
            metrics["input_tokens"],
            metrics["output_tokens"],
            metrics["requests_ok"],
        ),
        "steady": (steady.seconds, *_in_window(ok, tokens, steady)),
    }
    for name, (seconds, n_in, n_out, requests) in counts.items():
        metrics.update(_rates(name, seconds, n_in, n_out, requests, accelerators, roles))
    windows = {"whole": whole, "steady": steady}
    metrics.update(goodput(records, objectives, windows))
    good = meets_objectives(records, objectives) if objectives else None
    if sessions is not None:
        metrics.update(session_metrics(records, sessions, good, windows))
    metrics.update(_cache(ok))
    if no_tokens:
        return {k: None if k.startswith(_OF_TOKENS) else v for k, v in metrics.items()}
    metrics.update(ttft_groups(records))
    return metrics


@attrs.frozen
class ChunkTokens:
    """Turn, arrival and token count of each token-bearing chunk of the successful turns.

    `known`: the server reported the token count of every chunk, so no count is an average.
    """

    turn: Ints
    ns: Ints
    tokens: Floats
    known: bool


def tokens_by_chunk(ok: Rows, chunks: Rows) -> ChunkTokens:
    """Token counts of chunks. If only the first chunk of a turn has an unknown count, it gets the
    rest of `n_out`. If other chunks have one, the turn's tokens are spread evenly over all.
    """
    counts = ok["chunks"].astype(np.int64)
    turn = np.repeat(np.arange(len(ok)), counts)
    starts = np.cumsum(counts) - counts
    index = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    index = index + np.repeat(ok["chunk_offset"].astype(np.int64), counts)
    reported = chunks["tokens"][index].astype(np.float64)
    first = starts[counts > 0]
    total = np.bincount(turn, np.where(reported >= 0, reported, 0.0), minlength=len(ok))
    left = (ok["n_out"] - total)[counts > 0]
    reported[first] = np.where(
        (reported[first] < 0) & (left > 0) & (ok["n_out"][counts > 0] > 0), left, reported[first]
    )
    unknown = np.bincount(turn, reported < 0, minlength=len(ok)) > 0
    even = np.where(counts > 0, np.maximum(ok["n_out"], 0) / np.maximum(counts, 1), 0.0)
    known = bool(len(reported)) and not unknown.any()
    tokens = np.where(unknown[turn], even[turn], reported)
    return ChunkTokens(turn, chunks["ns"][index].astype(np.int64), tokens, known)


def _latencies(ok: Rows, tokens: ChunkTokens) -> Metrics:
    tpot = tpot_s(ok)
    tpot = tpot[~np.isnan(tpot)]
    e2e = (ok["last_ns"] - ok["sent_first_ns"]) / NS_PER_S
    counted = ok["n_out"] > 0
    normal = e2e[counted] / ok["n_out"][counted]
    gaps = _gaps(tokens)
    sent = ok["sent_first_ns"]
    metrics: Metrics = {
        **statistics_of("ttft_s", (ok["first_ns"] - sent) / NS_PER_S),
        **statistics_of("ttft_from_schedule_s", (ok["first_ns"] - ok["scheduled_ns"]) / NS_PER_S),
        **statistics_of("upload_s", (ok["sent_last_ns"] - sent) / NS_PER_S),
        **statistics_of("dispatch_delay_s", (sent - ok["scheduled_ns"]) / NS_PER_S),
        **statistics_of("e2e_s", e2e),
        **statistics_of("e2e_from_schedule_s", (ok["last_ns"] - ok["scheduled_ns"]) / NS_PER_S),
        **statistics_of("tpot_s", tpot),
        **statistics_of("itl_chunk_s", gaps[0]),
        **statistics_of("itl_token_s", gaps[1]),
    }
    for statistic in STATISTICS:
        value = metrics[f"tpot_s.{statistic}"]
        metrics[f"interactivity_tok_s.{statistic}"] = 1.0 / value if value else None
    p90 = float(np.percentile(normal, 90.0)) if len(normal) else 0.0
    metrics["normalised_interactivity_tok_s"] = 1.0 / p90 if p90 > 0 else None
    return metrics


def _gaps(tokens: ChunkTokens) -> tuple[Floats, Floats]:
    """Gaps between chunks, and between tokens (empty if a token count is unknown)."""
    if len(tokens.ns) < 2:
        return np.empty(0), np.empty(0)
    same = tokens.turn[1:] == tokens.turn[:-1]
    gaps = (np.diff(tokens.ns) / NS_PER_S)[same]
    if not tokens.known:
        return gaps, np.empty(0)
    # A chunk reported without a token lengthens the next token's gap.
    held = tokens.tokens > 0
    turn, ns, counts = tokens.turn[held], tokens.ns[held], tokens.tokens[held].astype(np.int64)
    same = turn[1:] == turn[:-1]
    counts = counts[1:][same]
    return gaps, np.repeat((np.diff(ns) / NS_PER_S)[same] / counts, counts)


def _in_window(
    ok: Rows, tokens: ChunkTokens, window: Window
) -> tuple[float | None, float | None, float | None]:
    """Input tokens, output tokens and requests of a window, counted at their arrival."""
    if window.seconds is None:
        return None, None, None
    known_in = bool((ok["n_in"] != ABSENT).all()) and len(ok) > 0
    known_out = bool((ok["n_out"] != ABSENT).all()) and len(ok) > 0
    started = window.holds(ok["first_ns"])
    return (
        float(ok["n_in"][started].sum()) if known_in else None,
        float(tokens.tokens[window.holds(tokens.ns)].sum()) if known_out else None,
        float(np.count_nonzero(window.holds(ok["last_ns"]))),
    )


def _rates(
    window: str,
    seconds: float | None,
    n_in: float | None,
    n_out: float | None,
    requests: float | None,
    accelerators: int,
    roles: dict[str, int] | None,
) -> Metrics:
    total = n_in + n_out if n_in is not None and n_out is not None else None
    rates = {
        "output_tok_s": _ratio(n_out, seconds),
        "input_tok_s": _ratio(n_in, seconds),
        "total_tok_s": _ratio(total, seconds),
        "req_s": _ratio(requests, seconds),
    }
    metrics: Metrics = {f"{name}.{window}": rate for name, rate in rates.items()}
    for name in PER_ACCELERATOR:
        metrics[f"{name}_per_accelerator.{window}"] = _ratio(rates[name], accelerators or None)
    for name, role in PER_ROLE:
        count = (roles or {}).get(role)
        metrics[f"{name}_per_{role}_accelerator.{window}"] = _ratio(rates[name], count)
    return metrics


def _cache(ok: Rows) -> Metrics:
    """Metrics of shared prefixes, by the workload; empty if it does not declare any."""
    declared = ok[(ok["asked_shared"] != ABSENT) & (ok["n_in"] > 0)]
    if not len(declared):
        return {}
    new = _sum(np.maximum(ok["n_in"] - ok["asked_shared"], 0)) if len(declared) == len(ok) else None
    n_out = _sum(ok["n_out"])
    return {
        "theoretical_hit_share": float(declared["asked_shared"].sum() / declared["n_in"].sum()),
        "working_set_tokens": None if new is None or n_out is None else new + n_out,
    }


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def _sum(values: Ints) -> float | None:
    """Sum; None if it is empty or any part was not measured."""
    return float(values.sum()) if len(values) and bool((values != ABSENT).all()) else None


def _cached(ok: Rows) -> float | None:
    reported = ok[(ok["n_cached"] != ABSENT) & (ok["n_in"] > 0)]
    return float(reported["n_cached"].sum() / reported["n_in"].sum()) if len(reported) else None
