"""The scheduling strategies: closed loop and open loop."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from time import monotonic_ns

from .job import LoadJob
from .phase_resources import PhaseResources
from .scheduler import Scheduler


class ClosedLoop(Scheduler):
    """Keeps `concurrency` sessions in progress: when one ends, the next one starts."""

    __slots__ = ()

    @property
    def scheduled_turns(self) -> int:
        """All turns that were sent: a closed loop schedules no other."""
        return self.dispatched

    def _start_first(self) -> None:
        for _ in range(self._job.concurrency or 0):
            if self.stopped_by is not None or not self.sessions.start_next(self.started_ns):
                return

    def _session_ended(self) -> None:
        self.sessions.start_next(self._sender.possible_ns)


class OpenLoop(Scheduler):
    """Starts sessions at the times of a schedule, however many are in progress."""

    __slots__ = ("_schedule", "_started")

    def __init__(self, job: LoadJob, resources: PhaseResources, schedule: array[int]) -> None:
        super().__init__(job, resources)
        self._schedule = schedule
        self._started = 0

    @property
    def scheduled_turns(self) -> int:
        """Arrivals scheduled before the end of dispatching, and later turns of their sessions."""
        end_ns = self.dispatch_ended_ns if self.dispatch_ended_ns > 0 else monotonic_ns()
        arrivals = bisect_right(self._schedule, end_ns - self.started_ns)
        return arrivals + max(0, self.dispatched - self._started)

    def _start_first(self) -> None:
        self._start_due()

    def _start_due(self) -> None:
        """Start the sessions that are due, and set a timer for the next one."""
        schedule = self._schedule
        while self._started < len(schedule) and self.stopped_by is None:
            due_ns = self.started_ns + schedule[self._started]
            if due_ns > monotonic_ns():
                self._timers.call_at(due_ns, self._start_due)
                return
            self._started += 1
            if not self.sessions.start_next(due_ns):
                return
        self._stop_if_all_ended()

    def _stop_if_all_ended(self) -> None:
        """Stop after the last arrival, once no session can send another turn."""
        waiting = self._session_states or self._delayed or self.sessions.waiting
        if self.stopped_by is None and not waiting:
            self.stop("schedule")

    def _session_ended(self) -> None:
        if self._started >= len(self._schedule):
            self._stop_if_all_ended()
