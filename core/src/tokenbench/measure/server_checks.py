"""Checks of the server: failures, caching, token counts."""

from __future__ import annotations

import collections

import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .checks import above, not_assessed, percent, worst
from .evidence import Evidence
from .lengths import template_tokens
from .thresholds import CertificationThresholds


def failures(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Failed requests by status; requests that the client cancelled do not count."""
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
    found = _hits(evidence, limits)
    if found is None:
        return _no_hits(name, evidence)
    share, text = found
    hint = "disable prefix caching in the server"
    return above(name, share, limits.prefix_cache_share, text, "1", hint=hint)


def cache_hits(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Prompt tokens read from a cache against those that an unlimited cache would hold.

    If there are more, prompts were in the cache before the repeat, or the server or the workload
    counts wrongly. Flagged if the cache was not completely primed.
    """
    name = "cache hits"
    if not evidence.prefix_caching:
        return not_assessed(name, "prefix caching is not asked for: see prefix cache")
    check = _excess_hits(name, evidence, limits)
    if evidence.not_primed is None:
        return check
    return worst([_flagged(name, evidence.not_primed), check])


def _excess_hits(name: str, evidence: Evidence, limits: CertificationThresholds) -> Check:
    expected = evidence.metrics.get("theoretical_hit_share")
    if expected is None or evidence.metrics.get("working_set_tokens") is None:
        return not_assessed(name, "the workload does not say how many tokens its prompts share")
    found = _hits(evidence, limits)
    if found is None:
        return _no_hits(name, evidence)
    share, text = found
    text += f"; an unlimited cache would have {percent(expected, 2)}"
    if (working_set := evidence.metrics.get("working_set_share.server")) is not None:
        text += f"; the working set is {working_set:.2f} of the server's KV cache"
    hint = "empty the cache before each repeat, and send no other requests to the server"
    excess = max(0.0, share - expected)
    return above(name, excess, limits.cache_hits_above, text, "1", hint=hint)


def _hits(evidence: Evidence, limits: CertificationThresholds) -> tuple[float, str] | None:
    """The share of prompt tokens read from a cache, without those of the template; and a text."""
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
        return None
    requests = len(reported) if source == "usage" else np.count_nonzero(n_in > 0)
    shared = template_tokens(evidence, limits) * requests
    share = max(0.0, hits - shared) / total
    text = f"{percent(share, 2)} of prompt tokens came from a cache, by the server's {source}"
    if hits and shared:
        text += f", without {shared:.0f} tokens of the template"
    return share, text


def _no_hits(name: str, evidence: Evidence) -> Check:
    if evidence.scrape_error:
        return _flagged(name, f"counters could not be read: {evidence.scrape_error}")
    return not_assessed(name, "the server does not report cache hits")


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


def _delta(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
