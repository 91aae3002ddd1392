"""Checks of what the server did: lengths, failures, caching, counting, steadiness."""

from __future__ import annotations

import collections

import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .evidence import Evidence
from .outcome import above, below, not_assessed, worst
from .thresholds import Limits, Thresholds

_THIRDS = 3
_BINS = 30


def lengths(seen: Evidence, limits: Thresholds) -> Check:
    """Exact lengths where the workload asks for them."""
    name = "lengths"
    ok = seen.records[seen.records["status"] == Status.OK]
    asked = ok[(ok["exact_output"] == 1) & (ok["n_out"] != ABSENT)]
    checks = []
    if len(asked):
        share = float(np.mean(asked["n_out"] == asked["asked_out"]))
        text = f"{share:.1%} of {len(asked)} answers have the asked length"
        checks.append(below(name, share, limits.output_length_share, text, "1"))
    prompts = ok[(ok["asked_in"] != ABSENT) & (ok["n_in"] != ABSENT)]
    if len(prompts):
        # What every prompt has more of is the chat template, not the workload's error.
        template = float(np.median(prompts["n_in"] - prompts["asked_in"]))
        off = np.abs(prompts["n_in"] - prompts["asked_in"] - template) / prompts["asked_in"]
        text = f"prompts are off by {off.mean():.2%} beyond a template of {template:.0f} tokens"
        checks.append(above(name, float(off.mean()), limits.input_length_off, text, "1"))
    if not checks:
        return not_assessed(name, "the workload asks for no exact length")
    bad = worst(checks)
    return bad if bad.outcome is not CheckOutcome.OK else checks[0]


def failures(seen: Evidence, limits: Thresholds) -> Check:
    """Failed requests, by class; those the client cancelled itself do not count."""
    name = "failures"
    status = seen.records["status"]
    judged = status[status != Status.CANCELLED]
    if not len(judged):
        return not_assessed(name, "no request ended")
    failed = [Status(int(s)).name.lower() for s in judged if s != Status.OK]
    share = len(failed) / len(judged)
    kinds = ", ".join(f"{n} {kind}" for kind, n in collections.Counter(failed).items())
    text = f"{len(failed)} of {len(judged)} requests failed" + (f": {kinds}" if kinds else "")
    if seen.phase.errors:
        text += f" (first: {seen.phase.errors[0]})"
    return above(name, share, limits.failure_share, text, "1")


def prefix_cache(seen: Evidence, limits: Thresholds) -> Check:
    """Prompt tokens read from a cache where the protocol says that none may be."""
    name = "prefix cache"
    if seen.caching_asked:
        return not_assessed(name, "prefix caching was asked for")
    share, source = None, "counters"
    if seen.before is not None and seen.after is not None:
        hits = _delta(seen.before.cached_prompt_tokens, seen.after.cached_prompt_tokens)
        total = _delta(seen.before.prompt_tokens, seen.after.prompt_tokens)
        share = hits / total if hits is not None and total else None
    if share is None:
        share, source = seen.metrics.get("cached_input_share"), "usage"
    if share is None:
        return not_assessed(name, "the server tells no cache hits")
    text = f"{share:.2%} of prompt tokens came from a cache, by the server's {source}"
    return above(name, share, limits.prefix_cache_share, text, "1")


def server_agreement(seen: Evidence, limits: Thresholds) -> Check:
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
        off = max(off, abs(client - server) / max(server, client, 1.0))
        parts.append(f"{side} {client:.0f} here, {server:.0f} there")
    if not parts:
        return not_assessed(name, "one side did not count")
    return above(name, off, limits.server_off, "; ".join(parts), "1")


def stability(seen: Evidence, limits: Thresholds) -> Check:
    """Output by arrival in thirds of the steady state, against its own noise."""
    name = "stability"
    seconds = seen.steady.seconds or 0.0
    generations = seen.phase.turns / (seen.phase.concurrency or 1)
    if seconds < limits.stability_min_s or generations < limits.stability_min_generations:
        return not_assessed(
            name, f"{seconds:.0f} s and {generations:.1f} generations are too few to judge"
        )
    stamps = seen.chunks["ns"]
    edges = np.linspace(seen.steady.start_ns, seen.steady.end_ns, _BINS + 1)
    bins, _ = np.histogram(stamps, edges)
    thirds = bins.reshape(_THIRDS, -1)
    means = thirds.mean(axis=1)
    if not bins.mean():
        return not_assessed(name, "no token arrived in the steady state")
    spread = float((means.max() - means.min()) / means.mean())
    noise = float(np.sqrt(thirds.var(axis=1, ddof=1).mean() / thirds.shape[1]))
    beyond = bool(noise) and (means.max() - means.min()) / noise > limits.stability_noise
    text = f"thirds differ by {spread:.1%}" + ("" if beyond else ", within their noise")
    allowed = (
        limits.stability_spread
        if beyond
        else Limits(flag=float("inf"), invalid=limits.stability_spread.invalid)
    )
    return above(name, spread, allowed, text, "1")


def accelerators(seen: Evidence, limits: Thresholds) -> Check:
    """Slowdown, lowered power limits and holes in the telemetry."""
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
    if seen.power_limited:
        found.append("the power limit is below the board's default")
    text = "; ".join(found) or "no slowdown, no gap"
    value = float(len(found))
    return above(name, value, Limits(flag=0.0), text)


def _delta(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
