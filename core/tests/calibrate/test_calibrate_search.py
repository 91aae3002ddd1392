"""The search for the envelope, on levels whose answers are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tokenbench.api import Check, CheckOutcome
from tokenbench.calibrate.ground_truth import Errors, Spread
from tokenbench.calibrate.search import Envelope, Search
from tokenbench.calibrate.step import Step


def _step(concurrency: int, *, client: bool = True, late_s: float = 0.0) -> Step:
    small = Spread(n=100, mean=1e-4, p50=1e-4, p99=1e-4, most=1e-4)
    outcome = CheckOutcome.OK if client else CheckOutcome.FLAGGED
    return Step(
        concurrency=concurrency,
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
            lateness=Spread(n=100, mean=late_s, p50=late_s, p99=late_s, most=late_s),
        ),
        checks=(Check(name="client CPU", outcome=outcome, evidence="90 %"),),
    )


def _up(measure: Callable[[int], Step], most: int = 16384) -> Envelope:
    return Search(measure, lambda: False).up((1, 64, 256, 1024), most)


@pytest.mark.parametrize("limit", [300, 700, 1500, 5000])
def test_the_envelope_is_found_to_ten_per_cent(limit: int) -> None:
    """Doubling, then between: never above the limit, at most 10 % below it."""
    found = _up(lambda n: _step(n, client=n <= limit))
    assert found.streams is not None
    assert limit / 1.1 - 1 <= found.streams <= limit
    assert found.ended_by == "client"
    assert "client CPU: 90 %" in found.why
    assert [s.concurrency for s in found.steps][:3] == [1, 64, 256]


def test_a_late_server_ends_it_and_is_named() -> None:
    """Beyond 0.2 ms of its own the server judges nobody, whatever the client's checks say."""
    found = _up(lambda n: _step(n, client=n <= 512, late_s=2.1e-4 if n > 512 else 1.9e-4))
    assert found.ended_by == "server"
    assert "lateness is 0.21 ms" in found.why
    assert found.streams is not None and 465 <= found.streams <= 512


def test_the_fixed_levels_are_measured_whatever_happens() -> None:
    """Their errors are wanted; where none holds there is no envelope, and no looking between."""
    found = _up(lambda n: _step(n, client=False))
    assert [s.concurrency for s in found.path] == [1, 1, 64, 64, 256, 256, 1024, 1024]
    assert found.streams is None


def test_a_moments_noise_ends_nothing() -> None:
    """A level that fails once is measured again; the second answer stands."""
    seen: Counter[int] = Counter()

    def measure(level: int) -> Step:
        seen[level] += 1
        return _step(level, client=level <= 256 and (level != 64 or seen[64] > 1))

    found = _up(measure)
    assert seen[64] == 2
    assert found.streams is not None and found.streams >= 256
    assert next(s for s in found.steps if s.concurrency == 64).ended_by is None


@pytest.mark.parametrize(("attempts", "holds"), [(1, False), (4, False), (5, True), (9, True)])
def test_a_restless_machine_is_given_more_attempts(attempts: int, holds: bool) -> None:
    """As many as asked for, and none after the first that holds; the path has them all."""
    tried: list[int] = []

    def measure(level: int) -> Step:
        tried.append(level)
        return _step(level, late_s=0.0 if len(tried) >= 5 else 1e-3)

    found = Search(measure, lambda: False, attempts).of_list((8,))
    assert (found.streams, len(found.path)) == (8 if holds else None, min(attempts, 5))


def test_nothing_larger_than_the_most_is_tried() -> None:
    """A machine that holds everything."""
    found = _up(_step, 2000)
    assert (found.streams, found.ended_by) == (1024, "most")


def test_a_list_is_measured_as_it_is() -> None:
    """In order; the envelope is the largest that holds, and a failure above it is named."""
    found = Search(lambda n: _step(n, client=n != 64), lambda: False).of_list((64, 1))
    assert [s.concurrency for s in found.path] == [1, 64, 64]
    assert (found.streams, found.ended_by) == (1, "client")
    assert Search(_step, lambda: False).of_list((1, 4)).ended_by == "list"


def test_the_user_ends_it() -> None:
    """What was cut is not kept; what came before is."""
    measured: list[int] = []

    def measure(level: int) -> Step:
        measured.append(level)
        return _step(level)

    found = Search(measure, lambda: len(measured) == 3).up()
    assert [s.concurrency for s in found.path] == [1, 64]
    assert found.ended_by == "interrupted"


def test_failed_and_unmatched_requests_are_the_clients() -> None:
    """A level with either does not hold."""
    import attrs

    good = _step(1)
    assert attrs.evolve(good, failed=1).ended_by == "client"
    unmatched = attrs.evolve(good, errors=attrs.evolve(good.errors, unmatched=2))
    assert "2 requests are not as the server knows them" in unmatched.client_limits
    silent = attrs.evolve(good, errors=attrs.evolve(good.errors, lateness=None))
    assert silent.server_limit == "no request came through"
