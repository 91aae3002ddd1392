"""Observers: they take every event on its own, quickly and silently, and give nothing back."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.events import Event, events, failures

_CPU_LIMIT_S = 0.1
_WALL_LIMIT_S = 1.0
_CHILD_LIMIT_S = 60.0
_ALONE = """
import importlib, sys
from tokenbench.testing.checks.observer import call_hook
from tokenbench.testing.samples.events import events
hook, path = sys.argv[2:]
call_hook(getattr(importlib.import_module(sys.argv[1]), hook), event=events(path)[hook])
"""


def call_hook(hook: Callable[..., Any], **given: Any) -> Any:
    """Call a hook with those arguments that it names, as the loader does."""
    names = inspect.signature(hook).parameters
    return hook(**{name: value for name, value in given.items() if name in names})


@contextlib.contextmanager
def _hooks(
    subject: Subject, told: Callable[[str], Mapping[str, Event]] = events
) -> Iterator[dict[str, tuple[Callable[..., Any], Event]]]:
    """The hooks that it implements, each with its event; the run's folder exists meanwhile."""
    with tempfile.TemporaryDirectory(prefix="tokenbench-") as path:
        yield {
            name: (getattr(subject.spec, name), event)
            for name, event in told(path).items()
            if callable(getattr(subject.spec, name, None))
        }


def _told(hook: Callable[..., Any], event: Event) -> Any:
    """What a hook gives back; what it raises is the business of observer-accepts-events."""
    with contextlib.suppress(Exception):
        return call_hook(hook, event=event)
    return None


def _tell(name: str, hook: Callable[..., Any], event: Event) -> Any:
    try:
        return call_hook(hook, event=event)
    except (Exception, SystemExit) as error:
        fail(f"{name} raised {type(error).__name__}: {error}")


@check(2, "observer")
def observer_has_a_hook(subject: Subject) -> None:
    """It implements at least one observe hook.

    To fix: write bench_run_started, bench_deployment_ready, bench_point_started,
    bench_point_finished, bench_eval_finished or bench_run_finished, with @hookimpl above it.
    """
    with _hooks(subject) as hooks:
        if not hooks:
            fail("it implements no observe hook")


@check(2, "observer")
def observer_accepts_events(subject: Subject) -> None:
    """Told of a run from start to end, it does not raise.

    To fix: compare what it reads with tokenbench.api's events.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            _tell(name, hook, event)


@check(2, "observer")
def observer_accepts_failures(subject: Subject) -> None:
    """Told of a run in which everything failed, it does not raise: metrics are missing, the
    engine's version is None, there are no endpoints.

    To fix: ask for None and for absence before computing.
    """
    with _hooks(subject) as good:
        for hook, event in good.values():
            _told(hook, event)
    with _hooks(subject, failures) as hooks:
        for name, (hook, event) in hooks.items():
            _tell(name, hook, event)


@check(2, "observer")
def observer_hooks_stand_alone(subject: Subject) -> None:
    """Each hook works when no other was called before it, in a fresh process: a run may have no
    point, no eval, or have been started by somebody else.

    To fix: make what a hook needs where it needs it.
    """
    if sys.modules.get(subject.module) is not subject.spec:
        skip("its module cannot be imported by name")
    with _hooks(subject) as hooks:
        for name, (_, event) in hooks.items():
            path = getattr(event, "path", tempfile.gettempdir())
            done = subprocess.run(
                [sys.executable, "-c", _ALONE, subject.module, name, path],
                capture_output=True,
                text=True,
                timeout=_CHILD_LIMIT_S,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if done.returncode:
                said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                fail(f"{name} alone: {said[-1]}")


@check(2, "observer")
def observer_returns_none(subject: Subject) -> None:
    """A hook returns None: observers cannot change a run.

    To fix: leave the return out; to change a launch, amend it.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            given = _told(hook, event)
            if given is not None:
                fail(f"{name} returned {given!r}")


@check(2, "observer")
def observer_is_fast(subject: Subject) -> None:
    """The best of three calls takes less than 0.1 s of CPU and 1 s by the clock: measurements wait.

    To fix: hand work to a thread or do it in bench_run_finished of a process of its own; give
    network calls a short time limit.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            cpu_s, wall_s = map(min, zip(*(_timed(hook, event) for _ in range(3)), strict=True))
            if cpu_s > _CPU_LIMIT_S or wall_s > _WALL_LIMIT_S:
                fail(f"{name} took {cpu_s:.2f} s of CPU, {wall_s:.2f} s by the clock")


def _timed(hook: Callable[..., Any], event: Event) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.monotonic()
    _told(hook, event)
    return time.process_time() - cpu, time.monotonic() - wall


@check(2, "observer")
def observer_prints_nothing(subject: Subject) -> None:
    """Nothing goes to standard output: `bench run --json` is read by programs.

    To fix: write to a file of its own in the run's folder, or log through structlog.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                _told(hook, event)
            if said.getvalue():
                fail(f"{name} printed {said.getvalue()[:60]!r}")
