"""Who sends when: the closed loop, and the open one."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from time import monotonic_ns

from .job import LoadJob
from .scheduler import Scheduler, SchedulerParts


class ClosedLoop(Scheduler):
    """Keeps `concurrency` sessions in flight: one begins when another ends."""

    @property
    def scheduled_turns(self) -> int:
        """All that were sent: a closed loop wants no more than it can send."""
        return self.dispatched

    def _begin(self) -> None:
        for _ in range(self._job.concurrency or 0):
            if self.stopped_by is not None or not self._next_session(self.started_ns):
                return

    def _session_over(self) -> None:
        self._next_session(self._freed_ns)


class OpenLoop(Scheduler):
    """Begins a session at each time of a schedule, however many are in flight."""

    def __init__(self, job: LoadJob, parts: SchedulerParts, schedule: array[int]) -> None:
        super().__init__(job, parts)
        self._schedule = schedule
        self._begun = 0

    @property
    def scheduled_turns(self) -> int:
        """Arrivals that the schedule holds up to the end of dispatching, and later turns."""
        end_ns = self.dispatch_ended_ns if self.dispatch_ended_ns > 0 else monotonic_ns()
        arrivals = bisect_right(self._schedule, end_ns - self.started_ns)
        return arrivals + max(0, self.dispatched - self._begun)

    def _begin(self) -> None:
        self._arrive()

    def _arrive(self) -> None:
        """Begin what is due; come back for the next."""
        schedule = self._schedule
        while self._begun < len(schedule) and self.stopped_by is None:
            due_ns = self.started_ns + schedule[self._begun]
            if due_ns > monotonic_ns():
                self._timers.at(due_ns, self._arrive)
                return
            self._begun += 1
            if not self._next_session(due_ns):
                return
        self._all_arrived()

    def _all_arrived(self) -> None:
        """Nothing more arrives. Later turns of sessions under way still count."""
        if self.stopped_by is None and not self._runs and not self._waiting:
            self.stop("schedule")

    def _session_over(self) -> None:
        if self._begun >= len(self._schedule):
            self._all_arrived()
