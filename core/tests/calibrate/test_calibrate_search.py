"""The search for the envelope, with simulated levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tokenbench.api import Check, CheckOutcome
from tokenbench.calibrate.ground_truth import Errors, Spread
from tokenbench.calibrate.search import Envelope, Search
from tokenbench.calibrate.step import Step


def _step(concurrency: int, *, client: bool = True, late_s: float = 0.0) -> Step:
    small = Spread(n=100, mean=1e-4, p50=1e-4, p99=1e-4, max=1e-4)
    outcome = CheckOutcome.OK if client else CheckOutcome.FLAGGED
    return Step(
        concurrency=concurrency,
        load_workers=1 + concurrency // 1000,
        seconds=5.0,
        tokens_per_s=100.0 * concurrency,
        cpu_share=0.1,
        failed=0,
        errors=Errors(
            requests=100,
            tokens=12800,
            unmatched=0,
            blocked=0,
            ttft=small,
            tpot=small,
            itl=small,
            e2e=small,
            pickup=small,
            lateness=Spread(n=100, mean=late_s, p50=late_s, p99=late_s, max=late_s),
        ),
        checks=(Check(name="client CPU", outcome=outcome, evidence="90 %"),),
    )


def _search(measure: Callable[[int], Step], max_concurrency: int = 16384) -> Envelope:
    return Search(measure, lambda: False).run((1, 64, 256, 1024), max_concurrency)


@pytest.mark.parametrize("limit", [300, 700, 1500, 5000])
def test_envelope_is_within_ten_percent(limit: int) -> None:
    """Doubling, then bisection: never above the limit, at most 10 % below it."""
    found = _search(lambda n: _step(n, client=n <= limit))
    assert found.concurrency is not None
    assert limit / 1.1 - 1 <= found.concurrency <= limit
    assert found.load_workers == 1 + found.concurrency // 1000
    assert found.ended_by == "client"
    assert "client CPU: 90 %" in found.reason
    assert [s.concurrency for s in found.steps][:3] == [1, 64, 256]


def test_late_server_ends_the_search() -> None:
    """Above 0.2 ms of p99 lateness the server cannot measure the client."""
    found = _search(lambda n: _step(n, client=n <= 512, late_s=2.1e-4 if n > 512 else 1.9e-4))
    assert found.ended_by == "server"
    assert "server lateness p99 0.21 ms, limit 0.2 ms" in found.reason
    assert found.concurrency is not None and 465 <= found.concurrency <= 512


def test_fixed_levels_are_measured_even_if_all_fail() -> None:
    """Their errors are reported; there is no envelope and no bisection."""
    found = _search(lambda n: _step(n, client=False))
    assert [s.concurrency for s in found.path] == [1, 1, 64, 64, 256, 256, 1024, 1024]
    assert (found.concurrency, found.load_workers) == (None, None)


def test_level_that_fails_once_is_measured_again() -> None:
    """The second measurement counts."""
    attempts: Counter[int] = Counter()

    def measure(level: int) -> Step:
        attempts[level] += 1
        return _step(level, client=level <= 256 and (level != 64 or attempts[64] > 1))

    found = _search(measure)
    assert attempts[64] == 2
    assert found.concurrency is not None and found.concurrency >= 256
    assert next(s for s in found.steps if s.concurrency == 64).ended_by is None


@pytest.mark.parametrize(("attempts", "passes"), [(1, False), (4, False), (5, True), (9, True)])
def test_number_of_attempts(attempts: int, passes: bool) -> None:
    """At most as many as requested, none after the first that passes; the path has all of them."""
    tried: list[int] = []

    def measure(level: int) -> Step:
        tried.append(level)
        return _step(level, late_s=0.0 if len(tried) >= 5 else 1e-3)

    found = Search(measure, lambda: False, attempts).run_list((8,))
    assert (found.concurrency, len(found.path)) == (8 if passes else None, min(attempts, 5))


def test_search_stops_at_the_maximum() -> None:
    """All levels pass; 2048 would exceed the maximum."""
    found = _search(_step, 2000)
    assert (found.concurrency, found.ended_by) == (1024, "max")


def test_list_of_levels() -> None:
    """Ascending order, no other level; the envelope is the highest that passes."""
    found = Search(lambda n: _step(n, client=n != 64), lambda: False).run_list((64, 1))
    assert [s.concurrency for s in found.path] == [1, 64, 64]
    assert (found.concurrency, found.ended_by) == (1, "client")
    assert Search(_step, lambda: False).run_list((1, 4)).ended_by == "list"


def test_interrupted_search_keeps_complete_levels() -> None:
    """The level during which the user interrupted is discarded."""
    measured: list[int] = []

    def measure(level: int) -> Step:
        measured.append(level)
        return _step(level)

    found = Search(measure, lambda: len(measured) == 3).run()
    assert [s.concurrency for s in found.path] == [1, 64]
    assert found.ended_by == "interrupted"


def test_failed_and_unmatched_requests_fail_a_level() -> None:
    """The client is to blame for both; without any request the server is."""
    import attrs

    good = _step(1)
    assert attrs.evolve(good, failed=1).ended_by == "client"
    unmatched = attrs.evolve(good, errors=attrs.evolve(good.errors, unmatched=2))
    assert "2 requests do not match the ground truth" in unmatched.client_limits
    silent = attrs.evolve(good, errors=attrs.evolve(good.errors, lateness=None))
    assert silent.server_limit == "no request completed"
