"""Metrics of one repeat, from its records. Pure; every number as `definitions` says it."""

from __future__ import annotations

import attrs
import numpy as np

from tokenbench.load.records import ABSENT, PhaseSummary, Status

from .arrays import NS_PER_S, Bools, Floats, Ints, Rows
from .definitions import PERCENTILES
from .slo import Slo

Metrics = dict[str, float | None]


@attrs.frozen(kw_only=True)
class Window:
    """A span of monotonic nanoseconds, both ends included."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float | None:
        """Its length; None where it has none."""
        length = (self.end_ns - self.start_ns) / NS_PER_S
        return length if length > 0 else None

    def holds(self, timestamps: Ints) -> Bools:
        """Which stamps lie in it."""
        inside: Bools = (timestamps >= self.start_ns) & (timestamps <= self.end_ns)
        return inside


def steady_window(records: Rows, phase: PhaseSummary) -> Window:
    """Closed loop: C-th dispatch to last dispatch. Open loop: first to last scheduled arrival."""
    if phase.concurrency is None:
        # A session's later turns are not arrivals of the process.
        timestamps = records["scheduled_ns"][records["turn"] == 0]
        first = 0
    else:
        timestamps = records["sent_first_ns"]
        first = phase.concurrency - 1
    ordered = np.sort(timestamps[timestamps != ABSENT])
    if len(ordered) <= first:
        return Window(start_ns=0, end_ns=0)
    return Window(start_ns=int(ordered[first]), end_ns=int(ordered[-1]))


def measure_repeat(
    records: Rows,
    chunks: Rows,
    phase: PhaseSummary,
    *,
    accelerators: int,
    roles: dict[str, int] | None = None,
    withhold_itl: bool = False,
    slo: Slo | None = None,
) -> Metrics:
    """All metrics of a repeat but energy, by name; None for what was not measured.

    Args:
        records: rows of `RECORD_DTYPE`; `chunk_offset` and `chunks` must lie within `chunks`.
        accelerators: of the whole deployment; 0 where there are none to divide by.
        roles: accelerators by role (``prefill``, ``decode``) in a disaggregated deployment.
        withhold_itl: the client merged too many chunks itself for gaps to mean anything.
        slo: what goodput asks of a request; None: there is no goodput.
    """
    ok = records[records["status"] == Status.OK]
    steady = steady_window(records, phase)
    whole = Window(start_ns=phase.started_ns, end_ns=phase.ended_ns)
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
    metrics.update(_latencies(ok, tokens, withhold_itl))
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
    metrics.update(_goodput(ok, slo, {"whole": whole, "steady": steady}))
    return metrics


@attrs.frozen
class ChunkTokens:
    """For each token-bearing chunk of successful turns: its turn, arrival and tokens.

    `known`: the server said how many tokens each chunk has, so nothing was spread.
    """

    turn: Ints
    ns: Ints
    tokens: Floats
    known: bool


def tokens_by_chunk(ok: Rows, chunks: Rows) -> ChunkTokens:
    """Where the server does not say how many tokens each chunk of a turn has, the turn's are spread
    evenly. A first chunk alone without a number has what the others leave of `n_out`.
    """
    counts = ok["chunks"].astype(np.int64)
    turn = np.repeat(np.arange(len(ok)), counts)
    starts = np.cumsum(counts) - counts
    index = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    index = index + np.repeat(ok["chunk_offset"].astype(np.int64), counts)
    said = chunks["tokens"][index].astype(np.float64)
    first = starts[counts > 0]
    total = np.bincount(turn, np.where(said >= 0, said, 0.0), minlength=len(ok))
    left = (ok["n_out"] - total)[counts > 0]
    said[first] = np.where(
        (said[first] < 0) & (left > 0) & (ok["n_out"][counts > 0] > 0), left, said[first]
    )
    silent = np.bincount(turn, said < 0, minlength=len(ok)) > 0
    even = np.where(counts > 0, np.maximum(ok["n_out"], 0) / np.maximum(counts, 1), 0.0)
    known = bool(len(said)) and not silent.any()
    tokens = np.where(silent[turn], even[turn], said)
    return ChunkTokens(turn, chunks["ns"][index].astype(np.int64), tokens, known)


def _latencies(ok: Rows, tokens: ChunkTokens, withhold_itl: bool) -> Metrics:
    tpot = _tpot_s(ok)
    tpot = tpot[~np.isnan(tpot)]
    e2e = (ok["last_ns"] - ok["sent_first_ns"]) / NS_PER_S
    counted = ok["n_out"] > 0
    normal = e2e[counted] / ok["n_out"][counted]
    gaps = _gaps(tokens)
    sent = ok["sent_first_ns"]
    metrics: Metrics = {
        **_spread("ttft_s", (ok["first_ns"] - sent) / NS_PER_S),
        **_spread("ttft_from_schedule_s", (ok["first_ns"] - ok["scheduled_ns"]) / NS_PER_S),
        **_spread("upload_s", (ok["sent_last_ns"] - sent) / NS_PER_S),
        **_spread("dispatch_delay_s", (sent - ok["scheduled_ns"]) / NS_PER_S),
        **_spread("e2e_s", e2e),
        **_spread("e2e_from_schedule_s", (ok["last_ns"] - ok["scheduled_ns"]) / NS_PER_S),
        **_spread("tpot_s", tpot),
        **_spread("itl_chunk_s", np.empty(0) if withhold_itl else gaps[0]),
        **_spread("itl_token_s", np.empty(0) if withhold_itl else gaps[1]),
    }
    for statistic in ("mean", *PERCENTILES):
        value = metrics[f"tpot_s.{statistic}"]
        metrics[f"interactivity_tok_s.{statistic}"] = 1.0 / value if value else None
    p90 = float(np.percentile(normal, 90.0)) if len(normal) else 0.0
    metrics["normalised_interactivity_tok_s"] = 1.0 / p90 if p90 > 0 else None
    return metrics


def _tpot_s(ok: Rows) -> Floats:
    """TPOT of each turn, NaN where it has none."""
    found = np.full(len(ok), np.nan)
    has = (ok["last_ns"] > ok["first_ns"]) & (ok["first_ns"] != ABSENT) & (ok["n_out"] > 1)
    some = ok[has]
    found[has] = (some["last_ns"] - some["first_ns"]) / NS_PER_S / (some["n_out"] - 1)
    return found


def _goodput(ok: Rows, slo: Slo | None, windows: dict[str, Window]) -> Metrics:
    """Requests within the SLOs, by the window in which they ended."""
    good = np.ones(len(ok), np.bool_)
    if slo is not None:
        ttft = (ok["first_ns"] - ok["sent_first_ns"]) / NS_PER_S
        e2e = (ok["last_ns"] - ok["sent_first_ns"]) / NS_PER_S
        for limit, values in ((slo.ttft_s, ttft), (slo.tpot_s, _tpot_s(ok)), (slo.e2e_s, e2e)):
            if limit is not None:
                # A turn without TPOT (one token) cannot break a limit on it.
                good &= ~(values > limit)
    found: Metrics = {}
    for name, window in windows.items():
        ended = good if name == "whole" else good & window.holds(ok["last_ns"])
        count = float(np.count_nonzero(ended)) if slo is not None else None
        found[f"goodput_req_s.{name}"] = _over(count, window.seconds)
    return found


def _gaps(tokens: ChunkTokens) -> tuple[Floats, Floats]:
    """Gaps between chunks, and between tokens (none where chunks' tokens are not known)."""
    if len(tokens.ns) < 2:
        return np.empty(0), np.empty(0)
    same = tokens.turn[1:] == tokens.turn[:-1]
    gaps = (np.diff(tokens.ns) / NS_PER_S)[same]
    if not tokens.known:
        return gaps, np.empty(0)
    # A chunk that the server says holds no token only makes the next token's gap longer.
    held = tokens.tokens > 0
    turn, ns, counts = tokens.turn[held], tokens.ns[held], tokens.tokens[held].astype(np.int64)
    same = turn[1:] == turn[:-1]
    counts = counts[1:][same]
    return gaps, np.repeat((np.diff(ns) / NS_PER_S)[same] / counts, counts)


def _spread(name: str, values: Floats) -> Metrics:
    if not len(values):
        return {f"{name}.{statistic}": None for statistic in ("mean", *PERCENTILES)}
    points = np.percentile(values, list(PERCENTILES.values()))
    found: Metrics = {f"{name}.mean": float(values.mean())}
    found.update({f"{name}.{s}": float(v) for s, v in zip(PERCENTILES, points, strict=True)})
    return found


def _in_window(
    ok: Rows, tokens: ChunkTokens, window: Window
) -> tuple[float | None, float | None, float | None]:
    """Input tokens, output tokens and requests of a window, by arrival."""
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
        "output_tok_s": _over(n_out, seconds),
        "input_tok_s": _over(n_in, seconds),
        "total_tok_s": _over(total, seconds),
        "req_s": _over(requests, seconds),
    }
    found: Metrics = {f"{name}.{window}": rate for name, rate in rates.items()}
    for name in ("output_tok_s", "input_tok_s", "total_tok_s"):
        found[f"{name}_per_accelerator.{window}"] = _over(rates[name], accelerators or None)
    for name, role in (("input_tok_s", "prefill"), ("output_tok_s", "decode")):
        count = (roles or {}).get(role)
        found[f"{name}_per_{role}_accelerator.{window}"] = _over(rates[name], count)
    return found


def _over(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def _sum(values: Ints) -> float | None:
    """A sum, None where any part was not measured or there is none."""
    return float(values.sum()) if len(values) and bool((values != ABSENT).all()) else None


def _cached(ok: Rows) -> float | None:
    told = ok[(ok["n_cached"] != ABSENT) & (ok["n_in"] > 0)]
    return float(told["n_cached"].sum() / told["n_in"].sum()) if len(told) else None
