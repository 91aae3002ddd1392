"""Whether the server's output is the same in each third of the steady state."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome

from . import remedy
from .arrays import NS_PER_S, Floats, Ints
from .checks import above, not_assessed, percent, too_short, worst
from .evidence import Evidence, evenly_spread_tokens, expected_noise
from .metrics import tokens_by_chunk
from .thresholds import CertificationThresholds
from .window import Window

_NAME = "stability"
_THIRDS = 3
_BINS = 30
_SILENT_TTFTS = 4
_GAPS = 20


def stability(repeats: Sequence[Evidence], limits: CertificationThresholds) -> Check:
    """Spread of the output by arrival over thirds of the steady state, against its noise.

    Each repeat that is long enough is judged alone. If any is shorter, the repeats are judged
    together: the output of their first thirds is added up, and so on. Then each must last at least
    one generation of requests, because any server starts unevenly. Differences between repeats are
    not judged here but by the check `precision`.

    The variance of the noise is that of the output within each third or that explained by the
    requests (:func:`~.evidence.expected_noise`), whichever is larger. Only the latter includes
    noise slower than a request. An open loop starts with an idle server, so its first seconds (p90
    of E2E latency) are left out. The thirds are not assessed if the schedule is uneven (a ramp, a
    trace). A long silence of a server that has requests is always judged: it would pass as noise.
    """
    pieces = [_Piece.of(evidence) for evidence in repeats]
    judged = [[piece] for piece in pieces if _long_enough([piece], limits)]
    if len(judged) < len(pieces):
        if min(_length([piece])[1] for piece in pieces) < 1 or not _long_enough(pieces, limits):
            return _too_short(pieces, limits)
        judged.append(pieces)
    # Higher for more than five pieces, so that one point in twenty exceeds the limit by chance.
    noise = limits.stability_noise + 0.56 * math.log(max(len(judged) / 5, 1.0))
    return worst(
        [
            *(_judge(some, limits, noise) for some in judged),
            *(_silence(piece, limits) for piece in pieces),
        ]
    )


@attrs.frozen(eq=False)
class _Piece:
    """The judged part of one repeat."""

    evidence: Evidence
    window: Window

    @classmethod
    def of(cls, evidence: Evidence) -> _Piece:
        """The steady state; in an open loop without the time in which the idle server fills."""
        window = evidence.steady
        start_ns = window.start_ns + round(_filling_s(evidence) * NS_PER_S)
        return cls(evidence, attrs.evolve(window, start_ns=min(start_ns, window.end_ns)))

    @property
    def seconds(self) -> float:
        """Length of the window; 0 if it is empty."""
        return self.window.seconds or 0.0


def _filling_s(evidence: Evidence) -> float:
    return (evidence.metrics.get("e2e_s.p90") or 0.0) if evidence.phase.concurrency is None else 0.0


def _length(pieces: Sequence[_Piece]) -> tuple[float, float]:
    """Seconds and generations of all pieces together."""
    return (
        sum(piece.seconds for piece in pieces),
        sum(piece.evidence.generations(piece.window) for piece in pieces),
    )


def _long_enough(pieces: Sequence[_Piece], limits: CertificationThresholds) -> bool:
    seconds, generations = _length(pieces)
    return seconds >= limits.stability_min_s and generations >= limits.stability_min_generations


def _too_short(pieces: Sequence[_Piece], limits: CertificationThresholds) -> Check:
    seconds, generations = _length(pieces)
    e2e_s = max(piece.evidence.metrics.get("e2e_s.p50") or 0.0 for piece in pieces)
    needed_s = max(limits.stability_min_s, limits.stability_min_generations * e2e_s)
    each_s = 1.05 * needed_s / len(pieces) + max(_filling_s(piece.evidence) for piece in pieces)
    return too_short(
        _NAME,
        f"{seconds:.1f} s and {generations:.1f} generations of requests, "
        f"{limits.stability_min_s:g} s and {limits.stability_min_generations:g} needed",
        remedy.longer([piece.evidence for piece in pieces], 0.0, at_least_s=each_s),
    )


def _judge(pieces: Sequence[_Piece], limits: CertificationThresholds, noise: float) -> Check:
    bins, by_request = np.zeros(_BINS), np.zeros(_THIRDS)
    variance, demand, largest = np.zeros(_THIRDS), np.zeros(_THIRDS), 0.0
    for piece in pieces:
        evidence = piece.evidence
        fine = np.linspace(piece.window.start_ns, piece.window.end_ns, _BINS + 1).astype(np.int64)
        edges = fine[:: _BINS // _THIRDS]
        arrived = tokens_by_chunk(evidence.ok, evidence.chunks)
        bins += np.histogram(arrived.ns, fine, weights=arrived.tokens)[0]
        by_request += evenly_spread_tokens(evidence, edges)
        variance += expected_noise(evidence, edges) ** 2
        wanted, most = _demand(evidence, edges)
        demand, largest = demand + wanted, max(largest, most)
    by_third = bins.reshape(_THIRDS, -1)
    thirds = by_third.sum(axis=1)
    if not thirds.mean():
        text = "no token arrived in the steady state"
        return Check(name=_NAME, outcome=CheckOutcome.INVALID, evidence=text)
    within = by_third.var(axis=1, ddof=1).mean() * by_third.shape[1]
    allowed = noise * float(np.sqrt(max(within, variance.mean())))
    # A session may arrive on either side of an edge, by chance.
    uneven = max(allowed, limits.stability_spread.flag * demand.mean(), 2 * largest * len(pieces))
    if np.ptp(demand) > uneven:
        return not_assessed(_NAME, "the schedule is uneven")
    spread = float(np.ptp(thirds) / thirds.mean())
    text = f"output of the thirds differs by {percent(spread)}"
    if len(pieces) > 1:
        text += f", {len(pieces)} repeats together"
    if min(np.ptp(thirds), np.ptp(by_request)) <= allowed:
        check = above(_NAME, spread, limits.stability_spread, f"{text}, within its noise", "1")
        return attrs.evolve(check, outcome=CheckOutcome.OK)
    hint = "raise the warm-up, or look for another load on the server"
    return above(_NAME, spread, limits.stability_spread, text, "1", hint=hint)


def _silence(piece: _Piece, limits: CertificationThresholds) -> Check:
    """The longest time in which the server had a request and sent no token, over the window.

    It is judged only if it is several times as long as a TTFT or a gap between chunks.
    """
    metrics = piece.evidence.metrics
    names: tuple[str, ...] = ("ttft_s.p75", "itl_chunk_s.p90")
    if piece.evidence.no_tokens:
        names = ("e2e_s.p75",)
    typical_s = max(metrics.get(name) or 0.0 for name in names)
    silent_s = _longest_silence_s(piece)
    share = silent_s / piece.seconds
    what = "answer" if piece.evidence.no_tokens else "token"
    text = f"the server sent no {what} for {silent_s:.1f} s"
    check = above(_NAME, share, limits.stability_spread, text, "1", hint="read the server's log")
    if silent_s <= _SILENT_TTFTS * typical_s:
        return attrs.evolve(check, outcome=CheckOutcome.NOT_ASSESSED)
    return check


def _longest_silence_s(piece: _Piece) -> float:
    """The longest part of a gap between arrivals with a request in flight, of the longest gaps."""
    ok, window = piece.evidence.ok, piece.window
    at = tokens_by_chunk(ok, piece.evidence.chunks).ns
    edges = np.sort(np.concatenate([at[window.holds(at)], [window.start_ns, window.end_ns]]))
    gaps = np.diff(edges)
    longest = 0
    for index in np.argsort(gaps)[-_GAPS:]:
        begin, end = int(edges[index]), int(edges[index + 1])
        waiting = ok["sent_first_ns"][(ok["last_ns"] >= end) & (ok["sent_first_ns"] < end)]
        if len(waiting):
            longest = max(longest, end - max(begin, int(waiting.min())))
    return longest / NS_PER_S


def _demand(evidence: Evidence, edges: Ints) -> tuple[Floats, float]:
    """Open loop: tokens of the sessions that arrive in each interval, and of the largest session.

    Zero in a closed loop, whose demand is even.
    """
    if evidence.phase.concurrency is not None or not len(evidence.ok):
        return np.zeros(len(edges) - 1), 0.0
    order = np.lexsort((evidence.ok["turn"], evidence.ok["session"]))
    ok = evidence.ok[order]
    _, first, session = np.unique(ok["session"], return_index=True, return_inverse=True)
    tokens = np.bincount(session, ok["n_out"])
    demand, _ = np.histogram(ok["scheduled_ns"][first], edges, weights=tokens)
    return np.asarray(demand, np.float64), float(tokens.max())
