"""Checks of what the server did: lengths, failures, caching, counting, steadiness."""

from __future__ import annotations

import collections

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .arrays import NS_PER_S, Floats, Ints
from .checks import above, below, not_assessed, worst
from .evidence import Evidence, chance, spread_evenly
from .metrics import Window, tokens_by_chunk
from .thresholds import CertificationThresholds, Limits

_THIRDS = 3
_BINS = 30
# Lengths that differ by so much of their median tell a template from a longer prompt; a tokenizer
# may join a token at the template's edges.
_VARIED, _TEMPLATE_SPREAD = 0.1, 2


def lengths(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Exact lengths where the workload asks for them."""
    name = "lengths"
    ok = seen.records[seen.records["status"] == Status.OK]
    asked = ok[(ok["exact_output"] == 1) & (ok["n_out"] != ABSENT)]
    checks: list[Check] = []
    if len(asked):
        share = float(np.mean(asked["n_out"] == asked["asked_out"]))
        text = f"{share:.1%} of {len(asked)} answers have the asked length"
        checks.append(below(name, share, limits.output_length_share, text, "1"))
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if len(prompts):
        template = _template_tokens(seen, limits)
        expected = prompts["asked_in"] + template
        off = float(np.mean(np.abs(prompts["n_in"] - expected) / expected))
        text = f"prompts are off by {off:.2%} beyond a template of {template:.0f} tokens"
        checks.append(above(name, off, limits.input_length_off, text, "1"))
    if not checks:
        return not_assessed(name, "the workload asks for no exact length")
    return attrs.evolve(worst(checks), evidence="; ".join(check.evidence for check in checks))


def _template_tokens(seen: Evidence, limits: CertificationThresholds) -> float:
    """Tokens the chat template adds to each prompt: what every prompt has more of than was asked.

    Where that is not the same for prompts of different lengths, or all have one length, it is
    believed up to a plausible template only, so that prompts of the wrong length do not pass as a
    long one.
    """
    ok = seen.records[seen.records["status"] == Status.OK]
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if not len(prompts):
        return 0.0
    extra, asked = prompts["n_in"] - prompts["asked_in"], prompts["asked_in"]
    more = max(float(np.median(extra)), 0.0)
    varied = np.ptp(asked) >= _VARIED * np.median(asked) and len(prompts) >= limits.min_requests
    if varied and np.ptp(np.percentile(extra, (5, 95))) <= _TEMPLATE_SPREAD:
        return more
    return min(more, float(limits.template_tokens_most))


def failures(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Failed requests, by class; those the client cancelled itself do not count."""
    name = "failures"
    status = seen.records["status"]
    judged = status[status != Status.CANCELLED]
    if not len(judged):
        # Nothing was measured, and nothing may be certified.
        return Check(name=name, outcome=CheckOutcome.INVALID, evidence="no request ended")
    found = collections.Counter(judged[judged != Status.OK].tolist())
    failed = found.total()
    share = failed / len(judged)
    kinds = ", ".join(f"{n} {Status(status).name.lower()}" for status, n in found.items())
    text = f"{failed} of {len(judged)} requests failed" + (f": {kinds}" if kinds else "")
    if seen.phase.errors:
        text += f" (first: {seen.phase.errors[0]})"
    return above(name, share, limits.failure_share, text, "1")


def prefix_cache(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Prompt tokens read from a cache where the protocol says that none may be.

    The template's tokens, which all prompts share, are taken off each request's hits.
    """
    name = "prefix cache"
    if seen.caching_asked:
        return not_assessed(name, "prefix caching was asked for")
    hits = total = None
    source = "counters"
    if seen.before is not None and seen.after is not None:
        hits = _delta(seen.before.cached_prompt_tokens, seen.after.cached_prompt_tokens)
        total = _delta(seen.before.prompt_tokens, seen.after.prompt_tokens)
    told = seen.records[(seen.records["n_cached"] != ABSENT) & (seen.records["n_in"] > 0)]
    if hits is None or not total:
        hits, total, source = float(told["n_cached"].sum()), float(told["n_in"].sum()), "usage"
    if not total:
        return not_assessed(name, "the server tells no cache hits")
    requests = len(told) if source == "usage" else np.count_nonzero(seen.records["n_in"] > 0)
    shared = _template_tokens(seen, limits) * requests
    share = max(0.0, hits - shared) / total
    text = f"{share:.2%} of prompt tokens came from a cache, by the server's {source}"
    if hits and shared:
        text += f", beyond {shared:.0f} of the shared template"
    return above(name, share, limits.prefix_cache_share, text, "1")


def server_agreement(seen: Evidence, limits: CertificationThresholds) -> Check:
    """The client's token counts against the server's own, between two quiescent scrapes."""
    name = "server agreement"
    if seen.before is None or seen.after is None:
        return not_assessed(name, "the engine has no counters")
    if bool((seen.records["status"] != Status.OK).any()):
        return not_assessed(name, "tokens of failed requests cannot be compared")
    pairs = (
        ("input", "input_tokens", seen.before.prompt_tokens, seen.after.prompt_tokens),
        ("output", "output_tokens", seen.before.generated_tokens, seen.after.generated_tokens),
    )
    off, parts = 0.0, []
    for side, metric, before, after in pairs:
        server, client = _delta(before, after), seen.metrics.get(metric)
        if server is None or client is None:
            continue
        if server < 0:
            return not_assessed(name, "the server's counters went backwards: it was restarted")
        off = max(off, abs(client - server) / max(server, 1.0))
        parts.append(f"{side} {client:.0f} here, {server:.0f} there")
    if not parts:
        return not_assessed(name, "one side did not count")
    return above(name, off, limits.server_off, "; ".join(parts), "1")


def stability(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Output by arrival in thirds of the steady state, against its own noise.

    The noise is the larger of two: that of the output within each third, and that of the requests
    themselves (:func:`~.evidence.chance`), which alone sees noise slower than a request. An open
    loop starts on an empty server: it is judged from one request's time (the 90th percentile of
    E2E) after the first arrival on. Where the schedule itself is uneven (a ramp, a trace), uneven
    output is what was asked for, and nothing is judged.
    """
    name = "stability"
    window = _filled(seen)
    seconds, generations = window.seconds or 0.0, seen.generations(window)
    if seconds < limits.stability_min_s or generations < limits.stability_min_generations:
        return not_assessed(
            name, f"{seconds:.0f} s and {generations:.1f} generations are too few to judge"
        )
    edges = np.linspace(window.start_ns, window.end_ns, _BINS + 1).astype(np.int64)
    arrived = tokens_by_chunk(seen.ok, seen.chunks)
    bins, _ = np.histogram(arrived.ns, edges, weights=arrived.tokens)
    by_third = bins.reshape(_THIRDS, -1)
    thirds = by_third.sum(axis=1)
    if not thirds.mean():
        return not_assessed(name, "no token arrived in the steady state")
    edges = edges[:: _BINS // _THIRDS]
    within = by_third.var(axis=1, ddof=1).mean() * by_third.shape[1]
    noise = float(np.sqrt(max(within, (chance(seen, edges) ** 2).mean())))
    allowed = limits.stability_noise * noise
    asked, largest = _demand(seen, edges)
    # At each edge one session may fall on either side.
    if np.ptp(asked) > max(allowed, limits.stability_spread.flag * asked.mean(), 2 * largest):
        return not_assessed(name, "the schedule itself is uneven")
    spread = float(np.ptp(thirds) / thirds.mean())
    real = min(np.ptp(thirds), np.ptp(spread_evenly(seen, edges)))
    beyond = bool(real > allowed)
    text = f"thirds differ by {spread:.1%}" + ("" if beyond else ", within their noise")
    check = above(name, spread, limits.stability_spread, text, "1")
    return check if beyond else attrs.evolve(check, outcome=CheckOutcome.OK)


def _filled(seen: Evidence) -> Window:
    """The steady state; in an open loop without the time that the empty server takes to fill."""
    e2e_s = seen.metrics.get("e2e_s.p90")
    if seen.phase.concurrency is not None or not e2e_s:
        return seen.steady
    return attrs.evolve(seen.steady, start_ns=seen.steady.start_ns + round(e2e_s * NS_PER_S))


def _demand(seen: Evidence, edges: Ints) -> tuple[Floats, float]:
    """Open loop: tokens of the sessions that arrived in each span, and of the largest session.

    A closed loop asks evenly.
    """
    if seen.phase.concurrency is not None or not len(seen.ok):
        return np.zeros(len(edges) - 1), 0.0
    order = np.lexsort((seen.ok["turn"], seen.ok["session"]))
    ok = seen.ok[order]
    _, first, session = np.unique(ok["session"], return_index=True, return_inverse=True)
    tokens = np.bincount(session, ok["n_out"])
    found, _ = np.histogram(ok["scheduled_ns"][first], edges, weights=tokens)
    return np.asarray(found, np.float64), float(tokens.max())


def accelerators(seen: Evidence, limits: CertificationThresholds) -> Check:
    """Slowdown, lowered limits, clocks behind the peers', holes or contradictions in telemetry."""
    name = "accelerators"
    if not seen.accelerated:
        return not_assessed(name, "there is none")
    if seen.longest_gap_s is None:
        return not_assessed(name, "no telemetry")
    found = []
    if seen.throttled_share is not None and seen.throttled_share > limits.slowdown_share:
        found.append(f"slowed down {seen.throttled_share:.1%} of the time")
    if seen.longest_gap_s > limits.telemetry_gap_s:
        found.append(f"no sample for {seen.longest_gap_s:.1f} s")
    if seen.clock_of_peers is not None and seen.clock_of_peers < limits.clock_of_peers:
        found.append(f"a device's clock is {seen.clock_of_peers:.0%} of its peers'")
    if seen.power_limited:
        found.append("the power limit is below the board's default")
    ratio = seen.metrics.get("energy_counter_ratio.accelerator")
    if ratio is not None and abs(ratio - 1.0) > limits.energy_counter_off:
        found.append(f"the energy counter says {ratio:.0%} of what power samples add up to")
    text = "; ".join(found) or "no slowdown, no gap"
    value = float(len(found))
    return above(name, value, Limits(flag=0.0), text)


def _delta(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
