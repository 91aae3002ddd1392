"""Whether the server's output is the same in all thirds of the steady state."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome

from .arrays import NS_PER_S, Floats, Ints
from .checks import above, not_assessed, percent, too_short, worst
from .evidence import Evidence, evenly_spread_tokens, expected_noise
from .metrics import Window, tokens_by_chunk
from .thresholds import CertificationThresholds

_THIRDS = 3
_BINS = 30


def stability(repeats: Sequence[Evidence], limits: CertificationThresholds) -> Check:
    """Spread of the output by arrival over thirds of the steady state, against its noise.

    Each repeat that is long enough is judged alone. Shorter ones are judged one after the other, as
    if they were one.

    The noise is the larger of the variance of the output within each third and that which the
    requests explain (:func:`~.evidence.expected_noise`); only the latter includes noise slower than
    a request. An open loop starts with an idle server, so its first p90 E2E latency is left out.
    With an uneven schedule (a ramp, a trace) uneven output is expected, and the check is not
    assessed.
    """
    pieces = [_Piece.of(evidence) for evidence in repeats]
    if all(_long_enough([piece], limits) for piece in pieces):
        return worst([_judge([piece], limits) for piece in pieces])
    if _long_enough(pieces, limits):
        return _judge(pieces, limits)
    seconds, generations = _length(pieces)
    missing = limits.stability_min_s / max(seconds, 1e-3)
    if generations:
        missing = max(missing, limits.stability_min_generations / generations)
    longest = max(piece.seconds for piece in pieces)
    return too_short(
        "stability",
        f"{seconds:.1f} s and {generations:.1f} generations of requests, "
        f"{limits.stability_min_s:g} s and {limits.stability_min_generations:g} needed",
        f"--duration {max(10, round(longest * missing + 0.5))}",
    )


@attrs.frozen(eq=False)
class _Piece:
    """The judged part of one repeat."""

    evidence: Evidence
    window: Window

    @classmethod
    def of(cls, evidence: Evidence) -> _Piece:
        """In an open loop without the time in which the idle server fills."""
        e2e_s = evidence.metrics.get("e2e_s.p90")
        window = evidence.steady
        if evidence.phase.concurrency is None and e2e_s:
            start_ns = window.start_ns + round(e2e_s * NS_PER_S)
            window = attrs.evolve(window, start_ns=min(start_ns, window.end_ns))
        return cls(evidence, window)

    @property
    def seconds(self) -> float:
        """Length of the judged part."""
        return self.window.seconds or 0.0

    def edges(self, edges_s: Floats) -> Ints:
        """Points of time from its start, in seconds, as timestamps within its window."""
        return np.clip(
            self.window.start_ns + np.round(edges_s * NS_PER_S).astype(np.int64),
            self.window.start_ns,
            self.window.end_ns,
        )


def _length(pieces: Sequence[_Piece]) -> tuple[float, float]:
    """Seconds and generations of all pieces."""
    return (
        sum(piece.seconds for piece in pieces),
        sum(piece.evidence.generations(piece.window) for piece in pieces),
    )


def _long_enough(pieces: Sequence[_Piece], limits: CertificationThresholds) -> bool:
    seconds, generations = _length(pieces)
    return (
        seconds >= limits.stability_min_s and generations >= limits.stability_min_generations
    )


def _judge(pieces: Sequence[_Piece], limits: CertificationThresholds) -> Check:
    name = "stability"
    total_s = sum(piece.seconds for piece in pieces)
    fine = np.linspace(0.0, total_s, _BINS + 1)
    coarse = fine[:: _BINS // _THIRDS]
    bins, spread_evenly = np.zeros(_BINS), np.zeros(_THIRDS)
    variance, demand, largest = np.zeros(_THIRDS), np.zeros(_THIRDS), 0.0
    begin_s = 0.0
    for piece in pieces:
        evidence = piece.evidence
        arrived = tokens_by_chunk(evidence.ok, evidence.chunks)
        inside = piece.window.holds(arrived.ns)
        at_s = begin_s + (arrived.ns[inside] - piece.window.start_ns) / NS_PER_S
        bins += np.histogram(at_s, fine, weights=arrived.tokens[inside])[0]
        edges = piece.edges(coarse - begin_s)
        spread_evenly += evenly_spread_tokens(evidence, edges)
        variance += expected_noise(evidence, edges) ** 2
        wanted, most = _demand(evidence, edges)
        demand, largest = demand + wanted, max(largest, most)
        begin_s += piece.seconds
    by_third = bins.reshape(_THIRDS, -1)
    thirds = by_third.sum(axis=1)
    if not thirds.mean():
        return not_assessed(name, "no token arrived in the steady state")
    within = by_third.var(axis=1, ddof=1).mean() * by_third.shape[1]
    allowed = limits.stability_noise * float(np.sqrt(max(within, variance.mean())))
    # At each edge one session may fall on either side.
    if np.ptp(demand) > max(allowed, limits.stability_spread.flag * demand.mean(), 2 * largest):
        return not_assessed(name, "the schedule is uneven")
    spread = float(np.ptp(thirds) / thirds.mean())
    text = f"output of the thirds differs by {percent(spread)}"
    if len(pieces) > 1:
        text += f" ({len(pieces)} repeats, one after the other)"
    if min(np.ptp(thirds), np.ptp(spread_evenly)) <= allowed:
        check = above(name, spread, limits.stability_spread, f"{text}, within its noise", "1")
        return attrs.evolve(check, outcome=CheckOutcome.OK)
    hint = "raise the warm-up, or look for another load on the server"
    return above(name, spread, limits.stability_spread, text, "1", hint=hint)


def _demand(evidence: Evidence, edges: Ints) -> tuple[Floats, float]:
    """Open loop: tokens of the sessions that arrive in each interval, and of the largest session.

    The demand of a closed loop is even.
    """
    if evidence.phase.concurrency is not None or not len(evidence.ok):
        return np.zeros(len(edges) - 1), 0.0
    order = np.lexsort((evidence.ok["turn"], evidence.ok["session"]))
    ok = evidence.ok[order]
    _, first, session = np.unique(ok["session"], return_index=True, return_inverse=True)
    tokens = np.bincount(session, ok["n_out"])
    demand, _ = np.histogram(ok["scheduled_ns"][first], edges, weights=tokens)
    return np.asarray(demand, np.float64), float(tokens.max())
