"""Calls a plugin's code with a time limit, and turns its failures into errors that name it.

Python cannot end a thread. So the main thread lets a daemon thread make the call and waits for it;
a call that does not return in time is abandoned with its thread. Each plugin has one such thread,
because some libraries (sqlite3) want all calls from the same one. Calls that a plugin's code makes
back into core, and from there into a plugin, stay in that thread. Each has a limit of its own, and
the innermost call is the one that errors name.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import attrs

from tokenbench.api import BenchError, Interrupted

from .limits import limit_s
from .owner import Owner, raised, too_slow, wrong
from .types import mismatch

T = TypeVar("T")
# How long a call may still run after the user asked to stop.
_INTERRUPTED_S = 1.0
_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S = 0.25, 0.001


@attrs.define(eq=False)
class _Call:
    """A call in progress."""

    owner: object
    member: str
    limit: str
    begun: float
    seconds: float

    @property
    def deadline(self) -> float:
        return self.begun + self.seconds


class _Job(Generic[T]):
    """A function for a plugin's thread, and the calls into plugins in progress there."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.calls: list[_Call] = []
        self.done = threading.Event()
        self.result: T
        self.error: BaseException | None = None

    def run(self) -> None:
        _local.calls = self.calls
        try:
            self.result = self.function()
        except BaseException as error:
            self.error = error
        finally:
            _local.calls = None
            self.done.set()

    def pause_s(self) -> float:
        """Time until the limits have to be checked again."""
        ends = [call.deadline for call in tuple(self.calls)]
        left = min(ends, default=time.monotonic() + _LONGEST_PAUSE_S) - time.monotonic()
        return min(max(left, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)

    def late(self) -> _Call | None:
        """The innermost call, if it or one around it has exceeded its limit."""
        calls, now = tuple(self.calls), time.monotonic()
        return calls[-1] if any(now > call.deadline for call in calls) else None


class _Local(threading.local):
    calls: list[_Call] | None = None


class _Thread:
    """The daemon thread of one plugin."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job

    def do(self, job: _Job[Any]) -> None:
        self._jobs.put(job)

    def end(self) -> None:
        """End it after its last job."""
        self._jobs.put(None)

    def stack(self) -> str:
        """Its current stack."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - no other way
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


_local = _Local()
_threads: dict[str, _Thread] = {}
_abandoned: list[_Thread] = []
_interrupts: list[float] = []


def call(
    owner: object,
    member: str,
    limit: str,
    function: Callable[[], T],
    *,
    result: Any = Any,
    meant: tuple[type[BaseException], ...] = (),
    times: float = 1.0,
) -> T:
    """Call `function`, which runs code of the plugin `owner`.

    Args:
        owner: an :class:`Owner`, or text that names one; None for core's own code, which is called
            as it is.
        member: what is called, for errors, such as ``ready()``.
        limit: kind of call, see :data:`.limits.LIMITS_S`.
        result: the type of its result.
        meant: exceptions that have a meaning and are raised unchanged, besides those of the API.
        times: factor of the limit.

    Raises:
        PluginError: it did not return in time, raised an exception, or its result is wrong.
    """
    if owner is None or (isinstance(owner, Owner) and owner.is_core):
        return function()

    def watched() -> T:
        begun, calls = time.monotonic(), _local.calls
        assert calls is not None
        calls.append(_Call(owner, member, limit, begun, limit_s(limit) * times))
        try:
            found = function()
        except BaseException as error:
            if isinstance(error, (BenchError, *meant)):
                raise
            raise raised(owner, member, error) from error
        finally:
            calls.pop()
        if (problem := mismatch(found, result)) is not None:
            raise wrong(owner, member, f"returned {problem}")
        return found

    return watched() if _local.calls is not None else together(owner, watched)


def together(owner: object, function: Callable[[], T]) -> T:
    """Run a function of core that makes many calls into one plugin, in that plugin's thread.

    Only the calls that it makes with :func:`call` are limited; its exceptions are raised unchanged.
    """
    if owner is None or _local.calls is not None:
        return function()
    job = _Job(function)
    if threading.current_thread() is not threading.main_thread():
        thread = _Thread(str(owner))
        thread.do(job)
        thread.end()
        return _wait(job, thread)
    name = str(owner)
    if name not in _threads:
        _threads[name] = _Thread(name)
    _threads[name].do(job)
    # Standard output has results only; what a plugin prints goes to standard error.
    with contextlib.redirect_stdout(sys.stderr):
        return _wait(job, _threads[name])


def _wait(job: _Job[T], thread: _Thread) -> T:
    try:
        while not job.done.wait(job.pause_s()):
            _check_limits(job, thread)
    except BaseException:
        _abandoned.append(thread)
        if _threads.get(thread.name) is thread:
            del _threads[thread.name]
        raise
    if job.error is not None:
        raise job.error
    return job.result


def interrupt() -> None:
    """End calls soon, because the user wants to stop; not those with the limit ``stop``."""
    _interrupts.append(time.monotonic())


def resume() -> None:
    """Forget earlier interruptions."""
    _interrupts.clear()


def _check_limits(job: _Job[Any], thread: _Thread) -> None:
    calls = tuple(job.calls)
    if calls and _interrupts and not any(call.limit == "stop" for call in calls):
        innermost = calls[-1]
        if time.monotonic() > max(_interrupts[0], innermost.begun) + _INTERRUPTED_S:
            raise Interrupted(
                f"interrupted while waiting for {innermost.owner}: {innermost.member}",
                hint="what was measured is kept",
            )
    late = job.late()
    if late is not None and not job.done.is_set():
        error = too_slow(late.owner, late.member, late.limit, late.seconds)
        error.add_note(f"it was here:\n{thread.stack()}")
        raise error


def items(
    owner: object, member: str, limit: str, iterator: Iterator[T], kind: type[T]
) -> Iterator[T]:
    """The items of a plugin's iterator, each with the limit."""
    end = object()
    while True:
        item = call(owner, member, limit, lambda: next(iterator, end))
        if item is end:
            return
        if not isinstance(item, kind):
            raise wrong(owner, member, f"yielded {mismatch(item, kind)}")
        yield item


def stuck() -> bool:
    """Whether a call that was abandoned has still not returned: its thread may keep the
    interpreter from exiting.
    """
    return any(thread.alive for thread in _abandoned)
