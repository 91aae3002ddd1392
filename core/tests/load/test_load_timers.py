"""Timers fire in order, never early, and forget what they are told to."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

import pytest
import uvloop

from tokenbench.load import timers
from tokenbench.load.timers import Timers


def _fired(due_ms: list[float], *, clear_after: int | None = None) -> list[tuple[int, float]]:
    """Set timers; returns who fired and how late, in order."""
    found: list[tuple[int, float]] = []

    async def run() -> None:
        made = Timers(asyncio.get_running_loop())
        begun = monotonic_ns()

        def fire(number: int, due_ns: int) -> None:
            found.append((number, (monotonic_ns() - due_ns) / 1e6))
            if clear_after == len(found):
                made.clear()

        for number, due in enumerate(due_ms):
            due_ns = begun + int(due * 1e6)
            made.at(due_ns, fire, number, due_ns)
        await asyncio.sleep(max(due_ms) / 1e3 + 0.05)
        made.close()
        made.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return found


@pytest.mark.parametrize("exact", [True, False])
def test_timers_fire_in_order_and_never_early(exact: bool, monkeypatch) -> None:
    """However they were set, with a timer of the kernel's or the loop's own; the past is now."""
    if not exact:
        monkeypatch.setattr(timers.sys, "platform", "elsewhere")
    fired = _fired([30, 10, 20.5, 20.4, -5])
    assert [number for number, _ in fired] == [4, 1, 3, 2, 0]
    assert all(late >= 0 for _, late in fired)


def test_what_is_cleared_does_not_fire() -> None:
    """The first one clears the rest."""
    assert [number for number, _ in _fired([5, 10, 15], clear_after=1)] == [0]


def test_a_timer_may_set_another() -> None:
    """As an open loop does at every arrival."""
    seen = []

    async def run() -> None:
        made = Timers(asyncio.get_running_loop())
        done = asyncio.Event()

        def again(left: int) -> None:
            seen.append(left)
            if left:
                made.at(monotonic_ns() + 200_000, again, left - 1)
            else:
                done.set()

        made.at(0, again, 5)
        await asyncio.wait_for(done.wait(), 5)
        made.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert seen == [5, 4, 3, 2, 1, 0]


def test_a_later_timer_does_not_hide_an_earlier_one() -> None:
    """What a callback sets must not put off what was set before: the earliest fires first."""
    seen: list[str] = []

    async def run() -> None:
        made = Timers(asyncio.get_running_loop())
        begun = monotonic_ns()

        def first() -> None:
            seen.append("first")
            made.at(begun + 150_000_000, seen.append, "late")

        made.at(begun + 10_000_000, first)
        made.at(begun + 20_000_000, seen.append, "second")
        await asyncio.sleep(0.08)
        seen.append("looked")
        await asyncio.sleep(0.12)
        made.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert seen == ["first", "second", "looked", "late"]


def test_a_callback_that_raises_leaves_the_others() -> None:
    """The loop is told; the next timer still fires."""
    seen: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(str(context["exception"])))
        made = Timers(loop)

        def broken() -> None:
            raise RuntimeError("no")

        made.at(monotonic_ns() + 1_000_000, broken)
        made.at(monotonic_ns() + 5_000_000, seen.append, "after")
        await asyncio.sleep(0.05)
        made.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert seen == ["no", "after"]
