"""The base of the scheduling strategies: requests in flight, stop rules, counters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from time import monotonic_ns

from tokenbench.api import BenchError, Target, Turn
from tokenbench.guard.owner import raised

from .job import LoadJob
from .phase_resources import PhaseResources
from .recorder import IdleRecorder
from .records import ABSENT, Status
from .request_state import Asked, InFlightRequest, ResponseFormat
from .session_file import PreparedRequest, QueuedSession
from .session_source import SessionSource
from .session_state import SessionState
from .turn_sender import TurnSender

_MAX_ERRORS = 20
# Completed requests handled before polling again.
_BATCH = 16
NS_PER_S = 1_000_000_000
# Python 3.11 looks up the members of an enum slowly; this one is needed for every request.
_OK = Status.OK


class Scheduler(ABC):
    """Starts sessions, sends their turns when due, and drains once a stop rule is met.

    Most stop rules end dispatching. When the workload has no more sessions, or their limit is
    reached, those in progress continue to their end.

    The scheduled time of a turn is its arrival time (open loop), or the arrival of the last byte of
    the response it waited for (closed loop, and later turns of a session), plus its think time. So
    any delay that the client adds is visible as dispatch delay.
    """

    # Python 3.11 looks up methods slowly on objects with more than 30 attributes in a `__dict__`.
    __slots__ = (
        "_aborted",
        "_completed",
        "_completed_chunks",
        "_delayed",
        "_duration_over",
        "_in_flight",
        "_job",
        "_loop",
        "_next_number",
        "_pool",
        "_recorder",
        "_response_format",
        "_sender",
        "_session_states",
        "_timers",
        "_to_send",
        "_unrecorded",
        "cut_ns",
        "dispatch_ended_ns",
        "dispatched",
        "ended_ns",
        "errors",
        "failed",
        "failure",
        "finished",
        "in_flight_ns",
        "sessions",
        "started_ns",
        "stopped_by",
        "turns",
    )

    def __init__(self, job: LoadJob, resources: PhaseResources) -> None:
        self._job = job
        self._response_format = ResponseFormat(resources.codec, job.dialect)
        self._pool = resources.pool
        self._recorder = resources.recorder
        self.sessions = SessionSource(
            resources.sessions,
            resources.timers,
            start=self._begin_session,
            ended=lambda: self.stop("sessions", cut=False),
            failed=lambda error: self._abort_with(error, "workload", "unpickling a session"),
        )
        self._timers = resources.timers
        self._loop = resources.loop
        self._sender = TurnSender(
            resources.codec,
            Target(model=job.model, dialect=job.dialect),
            resources.target_url,
            resources.timers,
            dispatch=self._dispatch,
            failed=lambda error: self._abort_with(error, "codec", "encode()"),
        )
        self._session_states: dict[int, SessionState] = {}
        # Single-turn sessions that wait for their delay.
        self._delayed = 0
        # If true, plugins are no longer called.
        self._aborted = False
        self._completed: deque[InFlightRequest] = deque()
        self._unrecorded = IdleRecorder(
            resources.recorder, resources.loop, job.worker, done=self._finish_if_empty
        )
        # Requests collected to be sent together; None: send at once.
        self._to_send: list[InFlightRequest] | None = None
        self._completed_chunks = 0
        self._in_flight: set[InFlightRequest] = set()
        # Session numbers are unique across workers: worker k has k, k + workers, ...
        self._next_number = job.worker
        self._duration_over = False
        self.finished = False
        self.failure: BenchError | None = None
        self.stopped_by: str | None = None
        self.started_ns = self.dispatch_ended_ns = self.cut_ns = self.ended_ns = ABSENT
        self.dispatched = self.turns = self.failed = 0
        self.in_flight_ns = 0
        self.errors: list[str] = []

    @property
    def in_flight(self) -> int:
        """Turns that were dispatched and have not ended."""
        return len(self._in_flight)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of turns, in alphabetical order."""
        return tuple(sorted(self._sender.labels | self.sessions.labels))

    def waiting_since_ns(self) -> int:
        """When the oldest request in flight was dispatched; now if there is none."""
        return min((r.dispatched_ns for r in self._in_flight), default=monotonic_ns())

    def received_chunks(self) -> int:
        """Token-bearing chunks received so far."""
        return self._completed_chunks + sum(len(request.timestamps) for request in self._in_flight)

    @property
    @abstractmethod
    def scheduled_turns(self) -> int:
        """Turns that should have been sent so far."""

    def start(self) -> None:
        """Start the load."""
        self.started_ns = self._sender.possible_ns = monotonic_ns()
        stop = self._job.stop
        if stop.duration_s is not None:
            end_ns = self.started_ns + int(stop.duration_s * NS_PER_S)
            self._timers.call_at(end_ns, self._end_duration)
        if stop.requests == 0:
            self.stop("requests")
        elif stop.sessions == 0:
            self.stop("session_limit")
        else:
            self._start_first()
        self._finish_if_empty()

    @abstractmethod
    def _start_first(self) -> None:
        """Start the first sessions, or schedule their start."""

    @abstractmethod
    def _session_ended(self) -> None:
        """A session ended, and no stop rule is met."""

    def stop(self, reason: str, *, cut: bool = True) -> None:
        """Start no more sessions. Only the first reason counts.

        Args:
            cut: send nothing more, and wait only for the requests in flight. Otherwise the sessions
                in progress continue to their end.
        """
        if cut and not self._sender.cut:
            self._sender.cut, self.cut_ns = True, monotonic_ns()
        if self.stopped_by is None:
            self.stopped_by = reason
            self.sessions.stop()
            now_ns = self.dispatch_ended_ns = monotonic_ns()
            self.in_flight_ns += sum(now_ns - r.dispatched_ns for r in self._in_flight)
        self._finish_if_empty()

    def _end_duration(self) -> None:
        self._duration_over = True
        if self.dispatched >= (self._job.stop.min_requests or 0):
            self.stop("duration")

    def abort(self, reason: str, status: Status) -> None:
        """Stop, and end the requests in flight with `status`."""
        self._aborted = True
        self.stop(reason)
        self.stopped_by = reason if reason in ("stalled", "failing", "fatal") else self.stopped_by
        now_ns = monotonic_ns()
        for request in tuple(self._in_flight):
            if request.status is None:
                self._pool.drop(request)
                request.end(now_ns, status, reason)
        self._finish_if_empty()

    def end_timed_out(self, now_ns: int) -> None:
        """End requests that exceed the time limit, and close their connections."""
        limit_ns = int(self._job.request_timeout_s * NS_PER_S)
        for request in tuple(self._in_flight):
            if request.status is not None:
                continue
            if request.sent_first_ns != ABSENT and now_ns - request.sent_first_ns > limit_ns:
                self._pool.drop(request)
                error = f"not complete after {self._job.request_timeout_s:g} s"
                request.end(now_ns, Status.TIMEOUT, error)

    def _begin_session(self, session: QueuedSession, scheduled_ns: int) -> bool:
        """Start a session; returns False if that failed."""
        number = self._next_number
        self._next_number += self._job.workers
        if self.sessions.taken == self._job.stop.sessions:
            self.stop("session_limit", cut=False)
        if isinstance(session, PreparedRequest):
            if session.delay_s > 0:
                scheduled_ns += int(session.delay_s * NS_PER_S)
                self._delayed += 1
                self._timers.call_at(
                    scheduled_ns, self._dispatch_delayed, session, number, scheduled_ns
                )
            else:
                self._dispatch(None, number, 0, session.http_bytes, session.asked, scheduled_ns)
            return True
        state = SessionState(number, session, self._sender.send, self._drop, begun_ns=scheduled_ns)
        self._session_states[number] = state
        self._sender.possible_ns = scheduled_ns
        try:
            state.start()
        except BaseException as error:
            self._abort_with(error, "workload", "Session.next()")
            return False
        if state.finished and self._session_states.pop(number, None) is not None:
            # The session has no turn. Continuing later avoids recursion when many have none.
            self._loop.call_soon(self._empty_session_ended)
        return True

    def _empty_session_ended(self) -> None:
        if self.stopped_by is None:
            self._session_ended()
        self._finish_if_empty()

    def _dispatch_delayed(self, session: PreparedRequest, number: int, scheduled_ns: int) -> None:
        self._delayed -= 1
        if not self._sender.cut:
            self._dispatch(None, number, 0, session.http_bytes, session.asked, scheduled_ns)

    def _drop(self, state: SessionState, turn_number: int, turn: Turn) -> None:
        """Record a turn that is not sent, because a turn that it waited for failed."""
        now_ns, asked = self._sender.possible_ns, self._sender.asked(turn)
        request = InFlightRequest(
            state.number,
            turn_number,
            b"",
            asked,
            self._response_format,
            now_ns,
            state,
            self._ended,
        )
        request.status, request.end_ns = Status.PARENT_FAILED, now_ns
        request.error = "not sent: a turn that it waited for failed"
        self.turns += 1
        self._count_failure(request)
        self._unrecorded.add(request)

    def _dispatch(
        self,
        state: SessionState | None,
        session: int,
        turn: int,
        http_bytes: bytes,
        asked: Asked,
        scheduled_ns: int,
    ) -> None:
        request = InFlightRequest(
            session,
            turn,
            http_bytes,
            asked,
            self._response_format,
            scheduled_ns,
            state,
            self._ended,
        )
        self.dispatched += 1
        # Before sending, because sending may end the request at once.
        request.dispatched_ns = monotonic_ns()
        self._in_flight.add(request)
        if self._to_send is None:
            self._pool.send(request)
        else:
            self._to_send.append(request)
        limit = self._job.stop.requests
        if limit is not None and self.dispatched >= limit:
            self.stop("requests")
        elif self._duration_over:
            self._end_duration()

    def _ended(self, request: InFlightRequest) -> None:
        """A request ended. It is handled later, because sockets are being read now."""
        self._in_flight.discard(request)
        if self.stopped_by is None:
            self.in_flight_ns += request.end_ns - request.dispatched_ns
        if not self._completed:
            self._loop.call_soon(self._handle_completed)
        self._completed.append(request)

    def _handle_completed(self) -> None:
        """Continue the sessions of some completed requests; the others wait for the next poll.

        New requests are sent together. If they were sent one by one, each would have to wake the
        server, which sleeps as soon as it has no work. Records are written when the loop is idle.
        """
        completed = self._completed
        self._to_send = []
        for _ in range(min(len(completed), _BATCH)):
            request = completed.popleft()
            self._count(request)
            if request.session_state is not None or self.stopped_by is None:
                self._continue_session(request)
            self._unrecorded.add(request)
        to_send, self._to_send = self._to_send, None
        for request in to_send:
            if request.status is None:
                self._pool.send(request)
        self._unrecorded.limit()
        if completed:
            self._loop.call_soon(self._handle_completed)
        self._finish_if_empty()

    def _count(self, request: InFlightRequest) -> None:
        self.turns += 1
        self._completed_chunks += len(request.timestamps)
        if request.status is not _OK:
            self._count_failure(request)

    def _continue_session(self, request: InFlightRequest) -> None:
        self._sender.possible_ns = request.end_ns
        state = request.session_state
        if state is None:
            self._session_ended()
        elif self._aborted:
            state.turn_aborted(request)
        else:
            try:
                state.turn_ended(request)
            except BaseException as error:
                self._abort_with(error, "workload", "Session.next()")
                return
            self._end_session_if_finished(state)

    def _abort_with(self, error: BaseException, kind: str, member: str) -> None:
        """End the phase because code of a plugin failed; completed turns are kept."""
        if self.failure is None and isinstance(error, BenchError):
            self.failure = error
        elif self.failure is None:
            owner = self._job.workload_owner if kind == "workload" else self._job.codec_owner
            self.failure = raised(owner or f"the {kind}", member, error)
            self.failure.__cause__ = error
        self.abort("fatal", Status.CANCELLED)

    def _count_failure(self, request: InFlightRequest) -> None:
        self.failed += 1
        if len(self.errors) == _MAX_ERRORS:
            if request.status is Status.CANCELLED:
                return
            self.errors.pop()
        name = request.status.name.lower() if request.status is not None else "unknown"
        self.errors.append(f"{name}: {request.error}")

    def _end_session_if_finished(self, state: SessionState) -> None:
        ended = state.finished and self._session_states.pop(state.number, None) is not None
        if not ended:
            return
        self._recorder.add_session(state.row(self._job.worker, cut=False))
        if self.stopped_by is None:
            self._session_ended()

    def _finish_if_empty(self) -> None:
        busy = self._in_flight or self._completed or self._to_send is not None
        drained = self.stopped_by is not None and not busy
        if drained and not self._sender.cut:
            drained = not self._session_states and not self._delayed
        if drained and self.ended_ns == ABSENT:
            self.ended_ns = monotonic_ns()
            for state in self._session_states.values():
                self._recorder.add_session(state.row(self._job.worker, cut=True))
            self._session_states.clear()
        self.finished = drained and not self._unrecorded
