"""Ranges of time over which metrics are computed."""

from __future__ import annotations

import attrs
import numpy as np

from tokenbench.load.records import ABSENT, PhaseSummary

from .arrays import NS_PER_S, Bools, Ints, Rows


@attrs.frozen(kw_only=True)
class Window:
    """A range of monotonic nanoseconds, both ends included."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float | None:
        """Length; None if it is not positive."""
        length = (self.end_ns - self.start_ns) / NS_PER_S
        return length if length > 0 else None

    def holds(self, timestamps: Ints) -> Bools:
        """Mask of the timestamps in the window."""
        inside: Bools = (timestamps >= self.start_ns) & (timestamps <= self.end_ns)
        return inside


def whole_window(phase: PhaseSummary) -> Window:
    """The whole phase, to the end of its last request."""
    return Window(start_ns=phase.started_ns, end_ns=phase.ended_ns)


def steady_window(records: Rows, phase: PhaseSummary) -> Window:
    """The steady state. Closed loop of concurrency C: from the first request of the C-th session to
    the end of the full load, including a stall that ends it. Open loop: from the first to the last
    scheduled arrival.
    """
    # Only first turns are arrivals: later turns follow a response.
    first = records[records["turn"] == 0]
    if phase.concurrency is None:
        arrivals = first["scheduled_ns"]
        if not len(arrivals):
            return Window(start_ns=0, end_ns=0)
        return Window(start_ns=int(arrivals.min()), end_ns=int(arrivals.max()))
    sent = first["sent_first_ns"]
    ordered = np.sort(sent[sent != ABSENT])
    if len(ordered) <= phase.concurrency - 1:
        return Window(start_ns=0, end_ns=0)
    return Window(start_ns=int(ordered[phase.concurrency - 1]), end_ns=phase.dispatch_ended_ns)
