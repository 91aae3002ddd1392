"""Interrupts code of a plugin that does not return, in a load worker.

A second thread would slow down the request path. So the event loop restarts a kernel timer four
times per second. The timer expires only if the loop has not run for long. Its signal then
interrupts the code that keeps the loop from running.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType

from tokenbench.guard.limits import limit_s
from tokenbench.guard.owner import PluginTooSlow, too_slow

from .codecs import find_codec
from .job import LoadJob
from .request_state import InFlightRequest
from .session_file import SessionReader
from .session_state import SessionState
from .turn_sender import TurnSender

# If code suppresses the exception and does not return within this time, the process ends.
_KILL_S = 2.0
# Functions of core that call a plugin: its kind, and what they call.
_CALLERS: dict[CodeType, tuple[str, str]] = {
    SessionState.start.__code__: ("workload", "Session.next()"),
    SessionState.turn_ended.__code__: ("workload", "Session.next()"),
    SessionReader._read.__code__: ("workload", "unpickling a session"),  # noqa: SLF001
    TurnSender._encode.__code__: ("codec", "encode()"),  # noqa: SLF001
    InFlightRequest._handle_events.__code__: ("codec", "classify()"),  # noqa: SLF001
    find_codec.__code__: ("codec", "its factory"),
}


class HangWatch:
    """Watches one phase. Use as a context manager, and call :meth:`beat` several times per limit.

    Args:
        tell: called with the error before the process exits, if the code suppresses the exception.
    """

    def __init__(self, job: LoadJob, tell: Callable[[PluginTooSlow], None]) -> None:
        self._owners = {
            "workload": job.workload_owner or "the workload",
            "codec": job.codec_owner or "the codec",
        }
        self._tell = tell
        self._limit_s = limit_s("item")
        self._expired: PluginTooSlow | None = None
        self._usable = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> HangWatch:
        if self._usable:
            signal.signal(signal.SIGALRM, self._on_signal)
        self.beat()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._usable:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def beat(self) -> None:
        """Restart the timer: the event loop runs."""
        self._set(self._limit_s)

    def _set(self, seconds: float) -> None:
        if self._usable:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        called = _called(frame)
        if called is None:
            # The process was halted and continued, or waits for its command.
            self.beat()
            return
        kind, member = called
        traceback.print_stack(frame)
        if self._expired is not None:
            self._tell(self._expired)
            sys.stderr.flush()
            os._exit(3)
        self._expired = too_slow(self._owners[kind], member, "item")
        self._set(_KILL_S)
        raise self._expired


def _called(frame: FrameType | None) -> tuple[str, str] | None:
    """Which plugin member is being called in this frame."""
    while frame is not None:
        if (found := _CALLERS.get(frame.f_code)) is not None:
            return found
        frame = frame.f_back
    return None
