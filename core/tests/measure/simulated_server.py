"""A simulated server: sequential prefill, batched decode, a queue; it may slow down or freeze."""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from simulated_runs import Run


@attrs.define
class Request:
    """An in-flight request. `mark`: the server's `work` when its first token left."""

    at: float
    session: int
    turns: int
    turn: int
    asked_in: int
    asked_out: int
    n_out: int
    pace: float
    sent: float = 0.0
    mark: float = 0.0
    end: float = 0.0


@attrs.define
class Server:
    """Sequential prefill, batched decode of up to `run.slots` requests, and a queue.

    `work`: tokens generated per running request since the start. All requests advance together, at
    a pace that depends on their number.
    """

    run: Run
    speed: float
    now: float = 0.0
    work: float = 0.0
    waiting: deque[Request] = attrs.field(factory=deque)
    reading: list[tuple[float, Request]] = attrs.field(factory=list)
    running: list[tuple[float, int, Request]] = attrs.field(factory=list)
    path: list[tuple[float, float]] = attrs.field(factory=lambda: [(0.0, 0.0)])

    def next(self) -> float:
        """Time of the next event in the server."""
        ends = self.reading[0][0] if self.reading else math.inf
        if self.running:
            left = (self.running[0][0] - self.work) * self._tpot_s()
            ends = min(ends, self._served(self.now) + left)
        return self._wall(ends)

    def advance(self, to: float) -> list[Request]:
        """Advance to a time not after `next`; return the requests that ended."""
        start, work, tpot_s = self._served(self.now), self.work, self._tpot_s()
        frozen = (self.run.frozen_from_s, self.run.frozen_from_s + self.run.frozen_s)
        for at in (*(edge for edge in frozen if self.now < edge < to), to):
            if self.running:
                self.work = work + (self._served(at) - start) / tpot_s
            self.path.append((at, self.work))
        self.now = to
        if self.reading and self.reading[0][0] <= self._served(to) + 1e-12:
            _, request = self.reading.pop()
            request.mark = self.work
            last = self.work + (request.n_out - 1) * request.pace
            heapq.heappush(self.running, (last, id(request), request))
        ended = []
        while self.running and self.running[0][0] <= self.work + 1e-9:
            ended.append(heapq.heappop(self.running)[2])
        self._read()
        return ended

    def take(self, request: Request) -> None:
        """A request arrives now."""
        self.waiting.append(request)
        self._read()

    def _read(self) -> None:
        if self.waiting and not self.reading and len(self.running) < self.run.slots:
            request = self.waiting.popleft()
            # The prefix of a later turn is cached.
            new = request.asked_in + self.run.template if request.turn == 0 else self.run.n_in
            seconds = (new / self.run.prefill_tok_s + self.run.base_tpot_s) * self._slowness
            self.reading.append((self._served(self.now) + seconds * request.pace, request))

    def _tpot_s(self) -> float:
        load = len(self.running) / self.run.slots
        return self.run.base_tpot_s * (1 + self.run.slowdown * load) * self._slowness

    def _served(self, at: float) -> float:
        """Time at which the server would be at the time `at` without its freeze."""
        frozen = min(max(at - self.run.frozen_from_s, 0.0), self.run.frozen_s)
        return at - frozen

    def _wall(self, served: float) -> float:
        return served + (self.run.frozen_s if served > self.run.frozen_from_s else 0.0)

    @property
    def _slowness(self) -> float:
        late = self.now > self.run.duration_s * 2 / 3
        return self.speed / (self.run.slows_to if late else 1.0)
