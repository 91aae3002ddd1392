"""Timers fire in order, never early, and go on after one that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic_ns

import pytest

from tokenbench.load import timers
from tokenbench.load.event_loop import EventLoop
from tokenbench.load.poller import Poller
from tokenbench.load.timers import Timers


@pytest.fixture(params=["timerfd", "elsewhere"])
def made(request, monkeypatch) -> Iterator[tuple[EventLoop, Timers]]:
    """A reactor and its timers, with the kernel's timer and without."""
    loop = EventLoop()
    if request.param == "elsewhere":
        monkeypatch.setattr(timers.sys, "platform", "elsewhere")
        loop = EventLoop(Poller())
    found = Timers(loop)
    yield loop, found
    found.close()
    found.close()
    loop.close()


def _run(loop: EventLoop, done: Callable[[], bool], limit_s: float = 5.0) -> None:
    end_ns = monotonic_ns() + int(limit_s * 1e9)
    loop.run_until(lambda: done() or monotonic_ns() > end_ns)
    assert done()


def test_timers_fire_in_order_and_never_early(made) -> None:
    """However they were set; the past is now."""
    loop, found = made
    fired: list[tuple[float, int]] = []
    begun = monotonic_ns()

    def fire(due: float, due_ns: int) -> None:
        fired.append((due, monotonic_ns() - due_ns))

    for due in (30, 10, 20.5, 20.4, -5):
        due_ns = begun + int(due * 1e6)
        found.call_at(
            due_ns, lambda due=due, due_ns=due_ns: fired.append((due, monotonic_ns() - due_ns))
        )
    _run(loop, lambda: len(fired) == 5)
    assert [due for due, _ in fired] == [-5, 10, 20.4, 20.5, 30]
    assert all(late >= 0 for _, late in fired)


def test_a_timer_may_set_another(made) -> None:
    """As an open loop does at every arrival."""
    loop, found = made
    seen: list[int] = []

    def again(left: int) -> None:
        seen.append(left)
        if left:
            found.call_at(monotonic_ns() + 200_000, again, left - 1)

    found.call_at(0, again, 5)
    _run(loop, lambda: len(seen) == 6)
    assert seen == [5, 4, 3, 2, 1, 0]


def test_a_later_timer_does_not_hide_an_earlier_one(made) -> None:
    """What a callback sets must not put off what was set before: the earliest fires first."""
    loop, found = made
    seen: list[str] = []
    begun = monotonic_ns()

    def first() -> None:
        seen.append("first")
        found.call_at(begun + 60_000_000, seen.append, "late")

    found.call_at(begun + 10_000_000, first)
    found.call_at(begun + 20_000_000, seen.append, "second")
    _run(loop, lambda: "late" in seen)
    assert seen == ["first", "second", "late"]


def test_a_callback_that_raises_leaves_the_others(made) -> None:
    """Who runs the reactor is told; the next timer still fires."""
    loop, found = made
    seen: list[str] = []

    def broken() -> None:
        raise RuntimeError("no")

    found.call_at(monotonic_ns() + 1_000_000, broken)
    found.call_at(monotonic_ns() + 5_000_000, seen.append, "after")
    with pytest.raises(RuntimeError, match="no"):
        _run(loop, lambda: bool(seen))
    _run(loop, lambda: bool(seen))
    assert seen == ["after"]


def test_what_is_closed_fires_nothing(made) -> None:
    """The reactor turns on without its timers."""
    loop, found = made
    seen: list[str] = []
    found.call_at(monotonic_ns(), seen.append, "never")
    found.close()
    loop.call_soon(lambda: seen.append("soon"))
    loop.run_until(lambda: bool(seen))
    assert seen == ["soon"]
