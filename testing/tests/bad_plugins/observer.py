"""Observers that fail, return values, are slow or print.

This module itself is one: its point hook works only after its run hook was called.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

from tokenbench.api import PointFinished, PointStarted, RunStarted, hookimpl
from tokenbench_testing.kit import Subject
from tokenbench_testing.samples.events import events

_begun: dict[str, RunStarted] = {}


@hookimpl
def bench_run_started(event: RunStarted) -> None:
    """Stores the run."""
    _begun[event.run] = event


@hookimpl
def bench_point_started(event: PointStarted) -> None:
    """Fails for an unknown run."""
    assert _begun[event.run].points >= 0


def _subject(**hooks: Any) -> Subject:
    return Subject(
        kind="observer", name="watch", module="bad_plugins.nowhere", spec=SimpleNamespace(**hooks)
    )


def _raise(event: RunStarted) -> None:
    raise FileNotFoundError(event.path)


def _mean(event: PointFinished) -> None:
    assert event.result.metrics["ttft_p50_s"].mean is not None


def _busy(event: RunStarted) -> None:
    until = time.process_time() + 0.15
    while time.process_time() < until:
        pass


GOOD = [
    _subject(**{hook: lambda event: None for hook in events("")}),
    _subject(bench_run_finished=lambda: None),
]
BAD = {
    "observer-has-a-hook": _subject(bench_run_begun=_raise),
    "observer-accepts-events": _subject(
        bench_run_started=lambda event: event.path.index("no such text") if event.points else None
    ),
    "observer-accepts-failures": _subject(bench_point_finished=_mean),
    "observer-hooks-stand-alone": Subject(
        kind="observer", name="watch", module=__name__, spec=sys.modules[__name__]
    ),
    "observer-returns-none": _subject(bench_run_started=lambda event: event.points),
    "observer-is-fast": _subject(bench_run_started=_busy),
    "observer-prints-nothing": _subject(bench_run_started=lambda event: print(event.run)),
}
ALSO: dict[str, set[str]] = {}
