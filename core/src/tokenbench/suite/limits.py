"""The smallest and the largest values that a suite may ask for, each with its reason.

Beyond them a number is a typo. It is refused while planning, before it fills a disk or starts a run
without an end. The suite reference repeats the limits; a test compares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tokenbench.api import LoadLevel, Stop, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .schema import LoadRequest

MOST_DURATION_S = 7 * 24 * 3600.0
"""A week: soak tests take days. Also the longest timeout, and the longest mean gap of arrivals."""

MOST_REQUESTS = 5_000_000
"""Of one phase: each is a prompt on disk (4 kB for 1,000 tokens: 20 GB) and a record in memory.
Half of :data:`tokenbench.load.arrivals.MAX_ARRIVALS`: random arrivals vary in number.
"""

MOST_PROMPT_TOKENS = 10_000_000_000
"""Of all prompts of one phase: 40 GB of text, at four bytes a token."""

MOST_CONTEXT_TOKENS = 100_000_000
"""Of one prompt and its answer: ten times the longest context of an open model (Llama 4 Scout,
10 million, its model card of 2025-04-05).
"""

MOST_CONCURRENCY = 64_512
"""A request in flight has a connection, and a client has the ports 1024 to 65535 to one server."""

MOST_RATE = 100_000.0
"""Arrivals a second: if each were answered within a second, more would be in flight than a client
has ports.
"""

LEAST_RATE = 1 / MOST_DURATION_S
"""One arrival in the longest repeat: a longer gap would never be seen."""

LEAST_SPEED, MOST_SPEED = 0.001, 1_000_000.0
"""Of a workload's own times: traces last from minutes to months."""

LEAST_BURSTINESS, MOST_BURSTINESS = 0.001, 1000.0
"""Gaps with a standard deviation of 32 times and 0.03 times their mean: below, all arrivals come at
once; above, the rate is constant.
"""

MOST_REPEATS = 1000
"""A confidence interval shrinks with the square root of the number; a dozen is usual."""

MOST_LEVELS = 1000
"""Concurrencies and rates of one suite: each is a point of at least a warm-up and a repeat."""

MOST_DEGREE = 4096
"""Of parallelism, and replicas of a pool: the largest published is EP 320 (DeepSeek-V3 technical
report, arXiv 2412.19437).
"""

MOST_ACCELERATORS = 100_000
"""Of a SKU: ten times the largest scale-up domain (a TPU7x pod, 9,216 chips)."""

MOST_WORKERS = 1024
"""Load workers: each needs a core of its own."""


MOST_SEED = 2**32 - 1
"""The largest that NumPy takes, and with it the harnesses of evals."""

_MOST_PER_PHASE = f"a phase has at most {MOST_REQUESTS:,} requests"


def check_level(
    load: LoadRequest,
    level: LoadLevel,
    stop: Stop,
    concurrency: int,
    timestamps: int,
    where: Callable[[str], str],
) -> None:
    """Check the number of requests at one level, and the length of its schedule.

    Args:
        timestamps: of the trace that is replayed; 0 where there is none.
        where: the place of a key (``load.rate``), for errors.

    Raises:
        UsageError: too many requests, or too long a schedule.
    """
    per_concurrency = (
        "requests_per_concurrency",
        "min_requests_per_concurrency",
        "warmup_per_concurrency",
    )
    for key in per_concurrency:
        value = getattr(load, key) or 0.0
        if value * concurrency > MOST_REQUESTS:
            raise UsageError(
                f"{where(f'load.{key}')}: {value:g} times a concurrency of {concurrency:,} is "
                f"{value * concurrency:,.0f} requests",
                hint=_MOST_PER_PHASE,
            )
    rate = level.rate_per_s
    if rate is None:
        return
    if timestamps > MOST_REQUESTS:
        raise UsageError(f"{where('load.trace')}: {timestamps:,} timestamps", hint=_MOST_PER_PHASE)
    if stop.duration_s is None:
        count = min(stop.requests or 0, timestamps or MOST_REQUESTS)
        if (count - 1) / rate > MOST_DURATION_S:
            raise UsageError(
                f"{where('load.requests')}: {count:,} arrivals at {rate:g} a second take "
                f"{count / rate:,.0f} s, more than {MOST_DURATION_S:,.0f}",
                hint="ask for fewer requests, or set load.duration_s (--duration)",
            )
    elif not timestamps and (count := expected_requests(level, stop)) > MOST_REQUESTS:
        raise UsageError(
            f"{where('load.rate')}: {rate:g} a second for {stop.duration_s:g} s "
            f"are {count:,} arrivals",
            hint=f"{_MOST_PER_PHASE}; set load.requests (--requests)",
        )


def expected_requests(level: LoadLevel, stop: Stop) -> int:
    """The most requests that a phase sends, as far as it is known beforehand."""
    counted = stop.requests
    if level.rate_per_s is not None and stop.duration_s is not None:
        begin = level.rate_per_s if level.ramp_from_per_s is None else level.ramp_from_per_s
        arrivals = math.ceil((begin + level.rate_per_s) / 2 * stop.duration_s)
        counted = arrivals if counted is None else min(counted, arrivals)
    return max(counted or 1, stop.min_requests or 1)


def check_prompts(workload: str, context_tokens: int | None, requests: int) -> None:
    """Check the prompts of a phase.

    Args:
        workload: its name.
        context_tokens: of one prompt and its answer; None where unknown.

    Raises:
        UsageError: one of them, or all together, are too long.
    """
    if context_tokens is None:
        return
    if context_tokens > MOST_CONTEXT_TOKENS:
        raise UsageError(
            f"the workload {workload!r} needs a context of {context_tokens:,} tokens",
            hint=f"a context has at most {MOST_CONTEXT_TOKENS:,} tokens",
        )
    if context_tokens * requests > MOST_PROMPT_TOKENS:
        raise UsageError(
            f"the workload {workload!r}: {requests:,} prompts of up to {context_tokens:,} "
            f"tokens are {context_tokens * requests:,} tokens",
            hint=f"the prompts of a phase have at most {MOST_PROMPT_TOKENS:,} tokens; "
            "ask for fewer requests in a repeat, or shorter prompts",
        )


def highest_rate(duration_s: float | None) -> float:
    """Where a search for a rate ends by default."""
    return MOST_RATE if duration_s is None else min(MOST_RATE, MOST_REQUESTS / duration_s)


def highest_concurrency(load: LoadRequest) -> int:
    """Where a search for a concurrency ends by default."""
    factor = max(
        load.requests_per_concurrency or 0.0,
        load.min_requests_per_concurrency,
        load.warmup_per_concurrency,
        1.0,
    )
    return max(1, min(MOST_CONCURRENCY, int(MOST_REQUESTS / factor)))
