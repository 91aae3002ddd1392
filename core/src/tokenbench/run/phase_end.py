"""How a phase ended, and what that means for its point and for the run."""

from __future__ import annotations

import attrs

from tokenbench.api import BenchError, PointState
from tokenbench.launch.failure import UNCONNECTED
from tokenbench.load.records import PhaseSummary

from .running_server import RunningServer

_OWN = ("cancelled: ", "stalled: ")


@attrs.frozen(kw_only=True)
class PhaseEnd:
    """The state of the point after a phase. `error`: why the point cannot be measured. `ends_run`:
    no other point can be measured either.
    """

    state: PointState = PointState.DONE
    text: str | None = None
    error: BenchError | None = None
    ends_run: bool = False


def phase_end(
    server: RunningServer, summary: PhaseSummary, phase: str, *, interrupted: bool, stall_s: float
) -> PhaseEnd:
    """The state after a phase. `phase` is its name in texts: ``the warm-up``.

    A phase in which every request failed ends its point, with the server's error. So does one that
    a load worker ended because for a while every request failed.
    """
    death = server.found_dead()
    if death is not None:
        return _failed(death.error("the engine died"), ends_run=True)
    if interrupted:
        return PhaseEnd(state=PointState.INTERRUPTED, text="interrupted by the user")
    if summary.stopped_by == "stalled":
        return PhaseEnd(state=PointState.STALLED, text=f"no token on any stream for {stall_s:g} s")
    failure = next((e for e in reversed(summary.errors) if not e.startswith(_OWN)), None)
    if failure is None or not (summary.stopped_by == "failing" or _all_failed(summary)):
        return PhaseEnd()
    reason = server.explain(failure.partition(": ")[2])
    what = f"all {summary.failed} requests of {phase} failed"
    if not _all_failed(summary):
        what = f"in {phase}, requests began to fail and did not stop"
    return _failed(reason.error(f"{what}: "), ends_run=reason.cause in UNCONNECTED)


def _all_failed(summary: PhaseSummary) -> bool:
    return 0 < summary.turns == summary.failed


def _failed(error: BenchError, *, ends_run: bool) -> PhaseEnd:
    return PhaseEnd(state=PointState.FAILED, text=error.message, error=error, ends_run=ends_run)
