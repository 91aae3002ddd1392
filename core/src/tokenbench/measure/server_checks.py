"""Checks of the server: lengths, failures, caching, token counts, stability, accelerators."""

from __future__ import annotations

import collections

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .arrays import NS_PER_S, Floats, Ints
from .checks import above, below, not_assessed, percent, too_short, worst
from .evidence import Evidence, evenly_spread_tokens, expected_noise
from .metrics import Window, tokens_by_chunk
from .thresholds import CertificationThresholds, Limits

# Prompt lengths that vary by this share of their median show whether extra tokens are a template;
# a tokenizer may merge a token at each edge of the template.
_MIN_VARIATION, _TEMPLATE_SPREAD = 0.1, 2


_EARLY = {
    "sessions": "the workload has no more sessions",
    "stalled": "no token arrived on any stream",
    "cancelled": "it was cancelled",
    "fatal": "an error ended it",
    "drain": "requests did not end",
}


def duration(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Whether the repeat lasted as long as asked: the steady state, or the number of requests."""
    name, phase, stop = "duration", evidence.phase, evidence.stop
    seconds = evidence.steady.seconds
    length = "no steady state" if seconds is None else f"a steady state of {seconds:.1f} s"
    if reason := _EARLY.get(phase.stopped_by):
        return Check(
            name=name,
            outcome=CheckOutcome.FLAGGED,
            evidence=f"{length}: the repeat ended early: {reason}",
        )
    if stop is None or stop.duration_s is None or phase.stopped_by != "duration":
        if seconds is None:
            return too_short(name, f"{length} in {len(evidence.records)} requests", "--requests")
        return Check(name=name, outcome=CheckOutcome.OK, evidence=length)
    share = (seconds or 0.0) / stop.duration_s
    text = f"{length}, {stop.duration_s:g} s asked"
    return below(name, share, limits.steady_share, text, "1", hint="raise --duration")


def lengths(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Output and prompt lengths against those that the workload requested."""
    name = "lengths"
    ok = evidence.records[evidence.records["status"] == Status.OK]
    exact = ok[(ok["exact_output"] == 1) & (ok["n_out"] != ABSENT)]
    checks: list[Check] = []
    if len(exact):
        share = float(np.mean(exact["n_out"] == exact["asked_out"]))
        text = f"{percent(share)} of {len(exact)} responses have the requested length"
        hint = "check that the server honours max_tokens and ignores the end of sequence"
        checks.append(below(name, share, limits.output_length_share, text, "1", hint=hint))
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if len(prompts):
        template = _template_tokens(evidence, limits)
        expected = prompts["asked_in"] + template
        error = float(np.mean(np.abs(prompts["n_in"] - expected) / expected))
        text = f"mean error of prompt lengths {percent(error, 2)}, template {template:.0f} tokens"
        hint = "check the model's tokenizer and chat template"
        checks.append(above(name, error, limits.input_length_deviation, text, "1", hint=hint))
    if not checks:
        return not_assessed(name, "the workload requests no exact length")
    return attrs.evolve(worst(checks), evidence="; ".join(check.evidence for check in checks))


def _template_tokens(evidence: Evidence, limits: CertificationThresholds) -> float:
    """Tokens that the chat template adds to each prompt: the median of extra prompt tokens.

    If they differ between prompts of different lengths, or all prompts have one length, the result
    is limited to a plausible template, so that a wrong prompt length is not taken for a template.
    """
    ok = evidence.records[evidence.records["status"] == Status.OK]
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if not len(prompts):
        return 0.0
    requested = prompts["asked_in"]
    extra = prompts["n_in"] - requested
    median = max(float(np.median(extra)), 0.0)
    varied = len(prompts) >= limits.min_requests and np.ptp(
        requested
    ) >= _MIN_VARIATION * np.median(requested)
    if varied and np.ptp(np.percentile(extra, (5, 95))) <= _TEMPLATE_SPREAD:
        return median
    return min(median, float(limits.max_template_tokens))


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
    hint = "see the server's log in the run directory"
    return above(name, share, limits.failure_share, text, "1", hint=hint)


def prefix_cache(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Prompt tokens read from a cache although the workload does not allow prefix caching.

    Hits on the template, which all prompts share, are subtracted.
    """
    name = "prefix cache"
    if evidence.prefix_caching:
        return not_assessed(name, "the workload allows prefix caching")
    hits = total = None
    source = "counters"
    if evidence.before is not None and evidence.after is not None:
        hits = _delta(evidence.before.cached_prompt_tokens, evidence.after.cached_prompt_tokens)
        total = _delta(evidence.before.prompt_tokens, evidence.after.prompt_tokens)
    n_in = evidence.records["n_in"]
    reported = evidence.records[(evidence.records["n_cached"] != ABSENT) & (n_in > 0)]
    if hits is None or not total:
        hits, total = float(reported["n_cached"].sum()), float(reported["n_in"].sum())
        source = "usage"
    if not total:
        return not_assessed(name, "the server does not report cache hits")
    requests = len(reported) if source == "usage" else np.count_nonzero(n_in > 0)
    shared = _template_tokens(evidence, limits) * requests
    share = max(0.0, hits - shared) / total
    text = f"{percent(share, 2)} of prompt tokens came from a cache, by the server's {source}"
    if hits and shared:
        text += f", without {shared:.0f} tokens of the template"
    hint = "disable prefix caching in the server"
    return above(name, share, limits.prefix_cache_share, text, "1", hint=hint)


def server_agreement(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """The client's token counts against the server's counters, scraped while it was idle."""
    name = "server agreement"
    if evidence.before is None or evidence.after is None:
        return not_assessed(name, "the engine has no counters")
    if bool((evidence.records["status"] != Status.OK).any()):
        return not_assessed(name, "failed requests have no comparable token counts")
    before, after = evidence.before, evidence.after
    pairs = (
        ("input", "input_tokens", before.prompt_tokens, after.prompt_tokens),
        ("output", "output_tokens", before.generated_tokens, after.generated_tokens),
    )
    deviation, parts = 0.0, []
    for side, metric, start, end in pairs:
        server, client = _delta(start, end), evidence.metrics.get(metric)
        if server is None or client is None:
            continue
        if server < 0:
            return not_assessed(name, "the server's counters decreased: it was restarted")
        deviation = max(deviation, abs(client - server) / max(server, 1.0))
        parts.append(f"{side} tokens: client {client:.0f}, server {server:.0f}")
    if not parts:
        return not_assessed(name, "the client or the server has no token counts")
    text = f"{'; '.join(parts)}; deviation {percent(deviation, 2)}"
    hint = "send no other requests to the server during a run"
    return above(name, deviation, limits.server_count_deviation, text, "1", hint=hint)


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
