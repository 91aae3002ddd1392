"""Whether a phase is of a sensible size: what several keys come to together, before it is made.

The limits of single keys are checked where a suite is read; both have them from
:mod:`tokenbench.suite.limits`.
"""

from __future__ import annotations

import math

from tokenbench.api import LoadLevel, Stop, UsageError
from tokenbench.suite.limits import (
    MOST_CONCURRENCY,
    MOST_CONTEXT_TOKENS,
    MOST_DURATION_S,
    MOST_PROMPT_TOKENS,
    MOST_RATE,
    MOST_REQUESTS,
)
from tokenbench.suite.schema import LoadRequest, PluginRef

_WHY = "docs/reference/suite.md says what the most is, and why"


def check_slots(load: LoadRequest, slots: int) -> None:
    """What is given by slot, at so many.

    Raises:
        UsageError: it comes to too many requests.
    """
    for key in (
        "requests_per_concurrency",
        "min_requests_per_concurrency",
        "warmup_per_concurrency",
    ):
        value = getattr(load, key) or 0.0
        if value * slots > MOST_REQUESTS:
            raise UsageError(
                f"load.{key}: {value:g} for each of {slots:,} slots are {value * slots:,.0f} "
                f"requests, more than {MOST_REQUESTS:,}",
                hint=_WHY,
            )


def check_arrivals(level: LoadLevel, stop: Stop, timestamps: int) -> None:
    """The schedule of an open loop; `timestamps`: of the trace that is replayed.

    Raises:
        UsageError: it holds too many arrivals, or lasts too long.
    """
    rate = level.rate_per_s
    if rate is None:
        return
    if timestamps > MOST_REQUESTS:
        raise UsageError(
            f"load.trace: {timestamps:,} time stamps, more than {MOST_REQUESTS:,}", hint=_WHY
        )
    if stop.duration_s is None:
        count = stop.requests or 0
        count = min(count, timestamps) if timestamps else count
        if (count - 1) / rate > MOST_DURATION_S:
            raise UsageError(
                f"load.requests: {count:,} arrivals at {rate:g} a second take "
                f"{count / rate:,.0f} s, more than {MOST_DURATION_S:,.0f}",
                hint=f"ask for fewer, or set load.duration_s; {_WHY}",
            )
    elif not timestamps and expected_requests(level, stop) > MOST_REQUESTS:
        raise UsageError(
            f"load.rate: {rate:g} a second for {stop.duration_s:g} s are more than "
            f"{MOST_REQUESTS:,} arrivals",
            hint=f"ask for less, or set load.requests; {_WHY}",
        )


def expected_requests(level: LoadLevel, stop: Stop) -> int:
    """How many a phase sends at most, as far as it is known beforehand."""
    counted = stop.requests
    if level.rate_per_s is not None and stop.duration_s is not None:
        begin = level.rate_per_s if level.ramp_from_per_s is None else level.ramp_from_per_s
        arrivals = math.ceil((begin + level.rate_per_s) / 2 * stop.duration_s)
        counted = arrivals if counted is None else min(counted, arrivals)
    return max(counted or 1, stop.least_requests or 1)


def check_prompts(ref: PluginRef, context_tokens: int | None, requests: int) -> None:
    """The prompts of a phase of so many requests.

    Raises:
        UsageError: one of them, or all together, are too long.
    """
    if context_tokens is None:
        return
    if context_tokens > MOST_CONTEXT_TOKENS:
        raise UsageError(
            f"the workload {ref.name!r} needs a context of {context_tokens:,} tokens, more than "
            f"{MOST_CONTEXT_TOKENS:,}",
            hint=_WHY,
        )
    if context_tokens * requests > MOST_PROMPT_TOKENS:
        raise UsageError(
            f"the workload {ref.name!r}: {requests:,} prompts of up to {context_tokens:,} "
            f"tokens are {context_tokens * requests:,}, more than {MOST_PROMPT_TOKENS:,} tokens",
            hint=f"ask for fewer requests in a repeat, or shorter prompts; {_WHY}",
        )


def highest_rate(duration_s: float | None) -> float:
    """Where a search for a rate ends that was given no end."""
    return MOST_RATE if duration_s is None else min(MOST_RATE, MOST_REQUESTS / duration_s)


def highest_concurrency(load: LoadRequest) -> int:
    """Where a search for a concurrency ends that was given no end."""
    per_slot = (
        load.requests_per_concurrency or 0.0,
        load.min_requests_per_concurrency,
        load.warmup_per_concurrency,
        1.0,
    )
    return max(1, min(MOST_CONCURRENCY, int(MOST_REQUESTS / max(per_slot))))
