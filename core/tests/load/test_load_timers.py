"""Timers call in order and never early, and continue after an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic_ns

import pytest

from tokenbench.load import timers
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import Poller
from tokenbench.load.timers import Timers


@pytest.fixture(params=["timerfd", "elsewhere"])
def loop_and_timers(request, monkeypatch) -> Iterator[tuple[EventLoop, Timers]]:
    """An event loop and its timers, with a timer descriptor and without."""
    loop = EventLoop()
    if request.param == "elsewhere":
        monkeypatch.setattr(timers.sys, "platform", "elsewhere")
        loop = EventLoop(Poller())
    clock = Timers(loop)
    yield loop, clock
    clock.close()
    clock.close()
    loop.close()


def _run(loop: EventLoop, done: Callable[[], bool], limit_s: float = 5.0) -> None:
    end_ns = monotonic_ns() + int(limit_s * 1e9)
    loop.run_until(lambda: done() or monotonic_ns() > end_ns)
    assert done()


def test_calls_are_in_order_and_never_early(loop_and_timers) -> None:
    """Whatever the order in which they were added; a past time is due at once."""
    loop, clock = loop_and_timers
    calls: list[tuple[float, int]] = []
    begun = monotonic_ns()

    def note(due: float, due_ns: int) -> None:
        calls.append((due, monotonic_ns() - due_ns))

    for due in (30, 10, 20.5, 20.4, -5):
        due_ns = begun + int(due * 1e6)
        clock.call_at(due_ns, note, due, due_ns)
    _run(loop, lambda: len(calls) == 5)
    assert [due for due, _ in calls] == [-5, 10, 20.4, 20.5, 30]
    assert all(late >= 0 for _, late in calls)


def test_a_call_may_add_another(loop_and_timers) -> None:
    """As an open loop does at every arrival."""
    loop, clock = loop_and_timers
    seen: list[int] = []

    def again(left: int) -> None:
        seen.append(left)
        if left:
            clock.call_at(monotonic_ns() + 200_000, again, left - 1)

    clock.call_at(0, again, 5)
    _run(loop, lambda: len(seen) == 6)
    assert seen == [5, 4, 3, 2, 1, 0]


def test_a_later_call_does_not_delay_an_earlier_one(loop_and_timers) -> None:
    """A call added by another one must not delay those added before: the earliest is first."""
    loop, clock = loop_and_timers
    seen: list[str] = []
    begun = monotonic_ns()

    def first() -> None:
        seen.append("first")
        clock.call_at(begun + 60_000_000, seen.append, "late")

    clock.call_at(begun + 10_000_000, first)
    clock.call_at(begun + 20_000_000, seen.append, "second")
    _run(loop, lambda: "late" in seen)
    assert seen == ["first", "second", "late"]


def test_an_exception_keeps_the_other_calls(loop_and_timers) -> None:
    """The event loop raises it; the next call still happens."""
    loop, clock = loop_and_timers
    seen: list[str] = []

    def broken() -> None:
        raise RuntimeError("no")

    clock.call_at(monotonic_ns() + 1_000_000, broken)
    clock.call_at(monotonic_ns() + 5_000_000, seen.append, "after")
    with pytest.raises(RuntimeError, match="no"):
        _run(loop, lambda: bool(seen))
    _run(loop, lambda: bool(seen))
    assert seen == ["after"]


def test_closed_timers_call_nothing(loop_and_timers) -> None:
    """The event loop continues without its timers."""
    loop, clock = loop_and_timers
    seen: list[str] = []
    clock.call_at(monotonic_ns(), seen.append, "never")
    clock.close()
    loop.call_soon(lambda: seen.append("soon"))
    loop.run_until(lambda: bool(seen))
    assert seen == ["soon"]
