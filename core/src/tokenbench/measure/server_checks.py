"""Checks of the server: failures, caching, token counts, accelerators."""

from __future__ import annotations

import collections

import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .checks import above, not_assessed, percent
from .evidence import Evidence
from .lengths import template_tokens
from .thresholds import CertificationThresholds, Limits


def failures(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Failed requests by class; requests that the client cancelled do not count."""
    name = "failures"
    status = evidence.records["status"]
    judged = status[status != Status.CANCELLED]
    if not len(judged):
        return Check(name=name, outcome=CheckOutcome.INVALID, evidence="no request completed")
    classes = collections.Counter(judged[judged != Status.OK].tolist())
    failed = classes.total()
    share = failed / len(judged)
    text = f"{failed} of {len(judged)} requests failed ({percent(share)})"
    if failed:
        text += ": " + ", ".join(f"{n} {Status(s).name.lower()}" for s, n in classes.items())
    if evidence.phase.errors:
        text += f", first: {evidence.phase.errors[0]}"
    if retries := _retries(evidence):
        text += f"; {retries} sent again on a new connection"
    hint = "see the server's log in the run directory"
    if classes[Status.RATE_LIMITED]:
        hint = "the server limits the rate (status 429): send less with --rate, or raise its limit"
    return above(name, share, limits.failure_share, text, "1", hint=hint)


def _retries(evidence: Evidence) -> int:
    """Requests that were sent again because an old connection broke."""
    return max(int(evidence.records["retries"].sum()), evidence.phase.retries)


def prefix_cache(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Prompt tokens read from a cache although the workload does not allow prefix caching.

    Hits on the template, which all prompts share, are subtracted.
    """
    name = "prefix cache"
    if evidence.prefix_caching:
        return not_assessed(name, "prefix caching is asked for: hits are a result")
    hits = total = None
    source = "counters"
    if evidence.before is not None and evidence.after is not None:
        hits = _delta(evidence.before.cached_prompt_tokens, evidence.after.cached_prompt_tokens)
        total = _delta(evidence.before.prompt_tokens, evidence.after.prompt_tokens)
    n_in = evidence.records["n_in"]
    reported = evidence.records[(evidence.records["n_cached"] != ABSENT) & (n_in > 0)]
    if hits is None or total is None or total <= 0:
        hits, total = float(reported["n_cached"].sum()), float(reported["n_in"].sum())
        source = "usage"
    if not total:
        if evidence.scrape_error:
            return _flagged(name, f"counters could not be read: {evidence.scrape_error}")
        return not_assessed(name, "the server does not report cache hits")
    requests = len(reported) if source == "usage" else np.count_nonzero(n_in > 0)
    shared = template_tokens(evidence, limits) * requests
    share = max(0.0, hits - shared) / total
    text = f"{percent(share, 2)} of prompt tokens came from a cache, by the server's {source}"
    if hits and shared:
        text += f", without {shared:.0f} tokens of the template"
    hint = "disable prefix caching in the server"
    return above(name, share, limits.prefix_cache_share, text, "1", hint=hint)


def server_agreement(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """The client's token counts against the server's counters, scraped while it was idle."""
    name = "server agreement"
    before, after = evidence.before, evidence.after
    if evidence.scrape_error:
        return _flagged(name, f"counters could not be read: {evidence.scrape_error}")
    if before is None or after is None:
        return not_assessed(name, "the engine has no counters")
    if bool((evidence.records["status"] != Status.OK).any()):
        return not_assessed(name, "failed requests have no comparable token counts")
    pairs = (
        ("input", "input_tokens", before.prompt_tokens, after.prompt_tokens),
        ("output", "output_tokens", before.generated_tokens, after.generated_tokens),
    )
    deviation, parts, counted = 0.0, [], False
    for side, metric, start, end in pairs:
        server, client = _delta(start, end), evidence.metrics.get(metric)
        if server is None:
            continue
        counted = True
        if server < 0:
            return _flagged(name, "the server's counters decreased: it was restarted")
        if client is None:
            continue
        deviation = max(deviation, abs(client - server) / max(server, 1.0))
        parts.append(f"{side} tokens: client {client:.0f}, server {server:.0f}")
    if not counted:
        return _flagged(name, "the metrics page has no token counters")
    if not parts:
        return _flagged(name, "the server's responses report no usage to compare")
    text = f"{'; '.join(parts)}; deviation {percent(deviation, 2)}"
    hint = "send no other requests to the server during a run"
    return above(name, deviation, limits.server_count_deviation, text, "1", hint=hint)


def _flagged(name: str, text: str) -> Check:
    return Check(name=name, outcome=CheckOutcome.FLAGGED, evidence=text)


def accelerators(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Slowdown, a lowered power limit, one slow clock, telemetry gaps, a wrong energy counter."""
    name = "accelerators"
    if not evidence.accelerated:
        return not_assessed(name, "the deployment has no accelerator")
    if evidence.longest_gap_s is None:
        return not_assessed(name, "no telemetry")
    faults = []
    throttled, clock = evidence.throttled_share, evidence.clock_of_peers
    if throttled is not None and throttled > limits.slowdown_share:
        faults.append(
            f"slowed down in {percent(throttled)} of the samples, "
            f"limit {percent(limits.slowdown_share, 0)}: check cooling"
        )
    if evidence.longest_gap_s > limits.telemetry_gap_s:
        faults.append(
            f"no sample for {evidence.longest_gap_s:.1f} s, limit {limits.telemetry_gap_s:g} s"
        )
    if clock is not None and clock < limits.clock_of_peers:
        faults.append(
            f"the slowest clock is {percent(clock, 0)} of the median, "
            f"limit {percent(limits.clock_of_peers, 0)}"
        )
    if evidence.power_limited:
        faults.append("the power limit is below the board's default: restore it")
    ratio = evidence.metrics.get("energy_counter_ratio.accelerator")
    if ratio is not None and abs(ratio - 1.0) > limits.energy_counter_deviation:
        faults.append(
            f"the energy counter reads {percent(ratio, 0)} of the power integral, "
            f"limit 100 ± {percent(limits.energy_counter_deviation, 0)}"
        )
    text = "; ".join(faults) or "no slowdown, no telemetry gap"
    return above(name, float(len(faults)), Limits(flag=0.0), text)


def _delta(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
