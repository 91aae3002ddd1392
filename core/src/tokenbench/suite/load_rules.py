"""Keys of a load that contradict each other, or would have no effect."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from tokenbench.api import UsageError

from .limits import LEAST_RATE, MOST_CONCURRENCY, MOST_DURATION_S, MOST_LEVELS, MOST_RATE
from .places import Places
from .schema import LoadRequest


@attrs.frozen
class Contradiction:
    """The key to change (``find.highest``), why, and what to do."""

    key: str
    message: str
    hint: str


def check_contradictions(load: LoadRequest, places: Places) -> None:
    """Check that the keys of a load go together.

    Raises:
        UsageError: they do not.
    """
    given = {path.removeprefix("load.") for path in places.flags}
    for rule in (_levels, _find, _arrival, _parameters, _cache):
        for found in rule(load, given):
            raise UsageError(f"{places(f'load.{found.key}')}: {found.message}", hint=found.hint)


def _levels(load: LoadRequest, given: set[str]) -> Iterator[Contradiction]:
    if load.find is not None:
        levels = (("rate", load.rate), ("concurrency", load.concurrency), ("speed", load.speed))
        for key, asked in levels:
            if asked:
                yield Contradiction(
                    key,
                    f"find searches for the load, so no {key} can be given",
                    "leave one of them out; the search starts at load.find.lowest (--from)",
                )
        return
    if not load.concurrencies and not load.rate and not load.speed:
        yield Contradiction("concurrency", "no load level is given", "for example [1, 4, 16]")
    if len(load.concurrencies) + len(load.rate) > MOST_LEVELS:
        yield Contradiction(
            "rate" if len(load.rate) > MOST_LEVELS // 2 else "concurrency",
            f"more than {MOST_LEVELS:,} load levels",
            "measure fewer; find searches for the largest load that meets objectives",
        )
    for key, sign, values in (
        ("concurrency", "c", load.concurrencies),
        ("rate", "r", load.rate),
        ("speed", "x", load.speed),
    ):
        for value in sorted(values):
            if values.count(value) > 1:
                yield Contradiction(
                    key, f"the load level {sign}{value:g} is given twice", "give it once"
                )


def _find(load: LoadRequest, given: set[str]) -> Iterator[Contradiction]:
    find = load.find
    if find is None:
        return
    if load.slo is None:
        yield Contradiction(
            "find", "a search needs objectives", "set load.slo (--slo), for example ttft_p99<200ms"
        )
    rate = find.what == "max-rate"
    low, high = (LEAST_RATE, MOST_RATE) if rate else (1, MOST_CONCURRENCY)
    for key, value in (("find.lowest", find.lowest), ("find.highest", find.highest)):
        if value is None:
            continue
        if not rate and value != int(value):
            yield Contradiction(key, f"{value:g} is not a concurrency", "give a whole number")
        if not low <= value <= high:
            text = f"expected between {low:.3g} and {high:,.0f} for {find.what}, got {value:g}"
            yield Contradiction(key, text, "give a value in that range")
    if find.highest is not None and find.highest < find.lowest:
        yield Contradiction(
            "find.highest",
            f"highest ({find.highest:g}) is below lowest ({find.lowest:g})",
            "lower --from, or raise --to",
        )


def _arrival(load: LoadRequest, given: set[str]) -> Iterator[Contradiction]:
    if load.trace is not None and not load.trace.strip():
        yield Contradiction("trace", "the file name is empty", "name a file of timestamps")
    if load.trace is not None and load.arrival != "replay":
        yield Contradiction(
            "trace",
            f"a trace needs the arrival process replay, not {load.arrival}",
            "set load.arrival to replay, or leave the trace out",
        )
    if load.arrival == "replay" and load.trace is None:
        yield Contradiction(
            "arrival", "replay needs a trace", "set load.trace (--trace) to a file of timestamps"
        )
    named = "arrival" in given or load.arrival != "poisson"
    open_loop = load.rate or (load.find is not None and load.find.what == "max-rate")
    if named and not open_loop:
        yield Contradiction(
            "trace" if load.arrival == "replay" else "arrival",
            f"{load.arrival} is an arrival process of open loops, but no rate is given",
            "add arrivals per second: load.rate (--rate), or find max-rate",
        )


def _cache(load: LoadRequest, given: set[str]) -> Iterator[Contradiction]:
    if load.prime_cache and not load.prefix_caching:
        yield Contradiction(
            "prime_cache",
            "it fills the prefix cache, but load.prefix_caching is false",
            "set load.prefix_caching to true, or leave it out",
        )
    if load.begin_inside and not load.concurrencies and load.find is None:
        yield Contradiction(
            "begin_inside",
            "it changes the start of a closed loop, but no concurrency is given",
            "give load.concurrency (--concurrency), or leave it out",
        )


def _parameters(load: LoadRequest, given: set[str]) -> Iterator[Contradiction]:
    """Parameters of arrival processes, and of the length of a repeat."""
    if load.arrival != "gamma" and ("burstiness" in given or load.burstiness != 1.0):
        yield Contradiction(
            "burstiness",
            f"it is the shape of gamma arrivals, but the arrival process is {load.arrival}",
            "set load.arrival (--arrival) to gamma, or leave it out",
        )
    if load.arrival != "ramp" and load.ramp_from != 0.0:
        yield Contradiction(
            "ramp_from",
            f"it is where a ramp begins, but the arrival process is {load.arrival}",
            "set load.arrival (--arrival) to ramp, or leave it out",
        )
    counted = load.requests is not None or load.requests_per_concurrency is not None
    if load.min_requests_per_concurrency and load.duration_s is None and counted:
        yield Contradiction(
            "min_requests_per_concurrency",
            "it extends the duration of a repeat, but no duration is set",
            "set load.duration_s (--duration) too, or leave it out",
        )
    if load.arrival == "ramp" and load.duration_s is None and counted:
        yield Contradiction(
            "arrival",
            "a ramp needs a duration, not only a number of requests",
            f"set load.duration_s (--duration), at most {MOST_DURATION_S:,.0f} s",
        )
