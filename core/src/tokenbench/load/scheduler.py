"""What both loops share: exchanges in flight, their ends, stop rules, what is counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from time import monotonic_ns

import attrs

from tokenbench.api import Codec, Target, Turn

from .event_loop import EventLoop
from .job import LoadJob
from .pool import ConnectionPool
from .recorder import Recorder
from .records import ABSENT, Status
from .request_state import Asked, InFlightRequest
from .session_file import Item, PreparedRequest, asked_of
from .session_state import SessionState
from .target_url import TargetUrl
from .timers import Timers

_KEPT_ERRORS = 20
# Ended exchanges that are gone on after before the sockets are looked at again.
_BATCH = 16
# Ended exchanges that may wait for a quiet moment to be recorded.
_UNRECORDED = 256
NS_PER_S = 1_000_000_000


@attrs.frozen(kw_only=True)
class SchedulerParts:
    """What a driver works with."""

    codec: Codec
    target_url: TargetUrl
    pool: ConnectionPool
    recorder: Recorder
    sessions: Iterator[Item]
    timers: Timers
    loop: EventLoop


class Scheduler(ABC):
    """Begins sessions, sends their turns when they are due, and drains when a stop rule holds.

    A turn is `scheduled` when the arrival process wants it (open loop), or at the arrival of the
    last byte that made it possible (closed loop, and every later turn of a session), plus its think
    time; so whatever the client adds shows as dispatch delay.
    """

    def __init__(self, job: LoadJob, parts: SchedulerParts) -> None:
        self._job = job
        self._codec = parts.codec
        self._target_url = parts.target_url
        self._pool = parts.pool
        self._recorder = parts.recorder
        self._sessions = parts.sessions
        self._timers = parts.timers
        self._loop = parts.loop
        self._target = Target(model=job.model, dialect=job.dialect)
        self._runs: dict[int, SessionState] = {}
        self._waiting = 0
        self._done: deque[InFlightRequest] = deque()
        self._unrecorded: list[InFlightRequest] = []
        # What is to be sent at the end of a drain; None outside of one.
        self._batch: list[InFlightRequest] | None = None
        self._ended_tokens = 0
        self._open: set[InFlightRequest] = set()
        # Sessions of several workers have numbers of their own.
        self._next_number = job.worker
        self._late = False
        self._freed_ns = 0
        self.finished = False
        self.failure: Exception | None = None
        self.stopped_by: str | None = None
        self.started_ns = self.dispatch_ended_ns = self.ended_ns = ABSENT
        self.dispatched = self.turns = self.failed = self.output_tokens = 0
        self.in_flight_ns = 0
        self.errors: list[str] = []

    @property
    def in_flight(self) -> int:
        """Turns that have been dispatched and have not ended."""
        return len(self._open)

    def arrived(self) -> int:
        """Token-bearing chunks until now."""
        return self._ended_tokens + sum(len(request.timestamps) for request in self._open)

    @property
    @abstractmethod
    def scheduled_turns(self) -> int:
        """Turns that should have been sent until now."""

    def start(self) -> None:
        """Start the clock."""
        self.started_ns = self._freed_ns = monotonic_ns()
        stop = self._job.stop
        if stop.duration_s is not None:
            self._timers.at(self.started_ns + int(stop.duration_s * NS_PER_S), self._time_is_up)
        if stop.requests == 0:
            self.stop("requests")
        else:
            self._begin()
        self._finish_if_empty()

    @abstractmethod
    def _begin(self) -> None:
        """Send the first requests, or arrange for them."""

    @abstractmethod
    def _session_over(self) -> None:
        """A session ended and no stop rule holds."""

    def stop(self, reason: str) -> None:
        """Dispatch nothing more; what is in flight is drained. The first reason stays."""
        if self.stopped_by is None:
            self.stopped_by = reason
            now_ns = self.dispatch_ended_ns = monotonic_ns()
            self.in_flight_ns += sum(now_ns - request.begun_ns for request in self._open)
            self._finish_if_empty()

    def _time_is_up(self) -> None:
        self._late = True
        if self.dispatched >= (self._job.stop.min_requests or 0):
            self.stop("duration")

    def abort(self, reason: str, status: Status) -> None:
        """Stop, and end what is in flight with `status`."""
        self.stop(reason)
        self.stopped_by = reason if reason in ("stalled", "fatal") else self.stopped_by
        now_ns = monotonic_ns()
        for request in tuple(self._open):
            if request.status is None:
                self._pool.drop(request)
                request.end(now_ns, status, reason)
        self._runs.clear()
        self._finish_if_empty()

    def time_out(self, now_ns: int) -> None:
        """End requests that are older than the time limit, and free their connections."""
        limit_ns = int(self._job.request_timeout_s * NS_PER_S)
        for request in tuple(self._open):
            if request.status is not None:
                continue
            if request.sent_first_ns != ABSENT and now_ns - request.sent_first_ns > limit_ns:
                self._pool.drop(request)
                request.end(
                    now_ns,
                    Status.TIMEOUT,
                    f"no end after {self._job.request_timeout_s:g} s",
                )

    # -- inside ----------------------------------------------------------------------------------

    def _next_session(self, scheduled_ns: int) -> bool:
        """Begin another session; False where there is none left."""
        try:
            item = next(self._sessions, None)
        except Exception as error:
            self._fail(error)
            return False
        if item is None:
            self.stop("sessions")
            return False
        number = self._next_number
        self._next_number += self._job.workers
        if isinstance(item, PreparedRequest):
            if item.delay_s > 0:
                scheduled_ns += int(item.delay_s * NS_PER_S)
                self._waiting += 1
                self._timers.at(scheduled_ns, self._after_wait, item, number, scheduled_ns)
            else:
                self._dispatch(None, number, 0, item.http_bytes, item.asked, scheduled_ns)
            return True
        run = self._runs[number] = SessionState(number, item, self._send)
        self._freed_ns = scheduled_ns
        try:
            run.start()
        except Exception as error:
            self._fail(error)
            return False
        if run.over and self._runs.pop(number, None) is not None:
            # Sent nothing. Not at once: a thousand of them in a row would be as many calls deep.
            self._loop.soon(self._sent_nothing)
        return True

    def _sent_nothing(self) -> None:
        if self.stopped_by is None:
            self._session_over()

    def _after_wait(self, item: PreparedRequest, number: int, scheduled_ns: int) -> None:
        self._waiting -= 1
        if self.stopped_by is None:
            self._dispatch(None, number, 0, item.http_bytes, item.asked, scheduled_ns)

    def _send(self, run: SessionState, number: int, turn: Turn) -> None:
        """A turn of a session became possible."""
        scheduled_ns = self._freed_ns
        if turn.delay_s > 0:
            scheduled_ns += int(turn.delay_s * NS_PER_S)
            self._timers.at(scheduled_ns, self._send_turn, run, number, turn, scheduled_ns)
        else:
            self._send_turn(run, number, turn, scheduled_ns)

    def _send_turn(self, run: SessionState, number: int, turn: Turn, scheduled_ns: int) -> None:
        if self.stopped_by is not None:
            return
        try:
            http_bytes = self._target_url.http_bytes(self._codec.encode(turn, self._target))
        except Exception as error:
            self._fail(error)
            return
        self._dispatch(run, run.index, number, http_bytes, asked_of(turn), scheduled_ns)

    def _dispatch(
        self,
        run: SessionState | None,
        session: int,
        number: int,
        http_bytes: bytes,
        asked: Asked,
        scheduled_ns: int,
    ) -> None:
        request = InFlightRequest(
            session, number, http_bytes, asked, self._codec, scheduled_ns, run, self._ended
        )
        self.dispatched += 1
        # Before sending, which may end it at once.
        request.begun_ns = monotonic_ns()
        self._open.add(request)
        if self._batch is None:
            self._pool.send(request)
        else:
            self._batch.append(request)
        limit = self._job.stop.requests
        if limit is not None and self.dispatched >= limit:
            self.stop("requests")
        elif self._late:
            self._time_is_up()

    def _ended(self, request: InFlightRequest) -> None:
        """Called while sockets are read: what follows waits until all have been stamped."""
        self._open.discard(request)
        if self.stopped_by is None:
            self.in_flight_ns += request.end_ns - request.begun_ns
        if not self._done:
            self._loop.soon(self._drain)
        self._done.append(request)

    def _drain(self) -> None:
        """Go on after some of the exchanges that ended; the sockets are polled before the others'
        turn. What is to be sent is sent together: one by one, each would have to wake a server that
        had just gone to sleep. What has been gone on after is recorded in a quiet moment.
        """
        done = self._done
        self._batch = []
        for _ in range(min(len(done), _BATCH)):
            request = done.popleft()
            self._account(request)
            if self.stopped_by is None:
                self._go_on(request)
            if not self._unrecorded:
                self._loop.idle(self._record)
            self._unrecorded.append(request)
        batch, self._batch = self._batch, None
        for request in batch:
            if request.status is None:
                self._pool.send(request)
        if len(self._unrecorded) > _UNRECORDED:
            self._record_some()
        if done:
            self._loop.soon(self._drain)
        self._finish_if_empty()

    def _account(self, request: InFlightRequest) -> None:
        self.turns += 1
        self._ended_tokens += len(request.timestamps)
        if request.status is not Status.OK:
            self._note_failure(request)
        elif request.n_out != ABSENT:
            self.output_tokens += request.n_out
            limit = self._job.stop.output_tokens
            if limit is not None and self.output_tokens >= limit:
                self.stop("output_tokens")

    def _record(self) -> None:
        """Nothing is ready: record some, and more in the next such moment."""
        self._record_some()
        if self._unrecorded:
            self._loop.idle(self._record)
        self._finish_if_empty()

    def _record_some(self) -> None:
        some, self._unrecorded = self._unrecorded[:_BATCH], self._unrecorded[_BATCH:]
        for request in some:
            self._recorder.add(request, self._job.worker)

    def _go_on(self, request: InFlightRequest) -> None:
        self._freed_ns = request.end_ns
        run = request.run
        if run is None:
            self._session_over()
        elif run.index in self._runs:
            try:
                run.ended(request)
            except Exception as error:
                self._fail(error)
                return
            self._freed_ns = request.end_ns
            self._end_if_over(run)

    def _fail(self, error: Exception) -> None:
        """A plugin's code failed between two turns: what was measured is kept, the phase ends."""
        self.failure = self.failure or error
        self.abort("fatal", Status.CANCELLED)

    def _note_failure(self, request: InFlightRequest) -> None:
        self.failed += 1
        if len(self.errors) < _KEPT_ERRORS:
            name = request.status.name.lower() if request.status is not None else "unknown"
            self.errors.append(f"{name}: {request.error}")

    def _end_if_over(self, run: SessionState) -> None:
        over = run.over and self._runs.pop(run.index, None) is not None
        if over and self.stopped_by is None:
            self._session_over()

    def _finish_if_empty(self) -> None:
        over = self.stopped_by is not None and not self._open and not self._done
        if over and self.ended_ns == ABSENT:
            self.ended_ns = monotonic_ns()
        self.finished = over and not self._unrecorded
