"""Observers: each hook handles its event alone, quickly and silently, and returns None."""

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

from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.events import Event, events, failures

_CPU_LIMIT_S = 0.1
_WALL_LIMIT_S = 1.0
_CHILD_LIMIT_S = 60.0
_ALONE = """
import importlib, sys
from tokenbench_testing.checks.observer import call_hook
from tokenbench_testing.samples.events import events
hook, path = sys.argv[2:]
call_hook(getattr(importlib.import_module(sys.argv[1]), hook), event=events(path)[hook])
"""


def call_hook(hook: Callable[..., Any], **given: Any) -> Any:
    """Call a hook with the arguments it names, like the registry does; with the defaults of the
    options of its module.
    """
    names = inspect.signature(hook).parameters
    made = getattr(inspect.getmodule(hook), "bench_use_options", None)
    given = {"options": None if made is None else made()(), **given}
    return hook(**{name: value for name, value in given.items() if name in names})


@contextlib.contextmanager
def _hooks(
    subject: Subject, events_of: Callable[[str], Mapping[str, Event]] = events
) -> Iterator[dict[str, tuple[Callable[..., Any], Event]]]:
    """The implemented hooks, each with its event. The run's folder exists inside the block."""
    with tempfile.TemporaryDirectory(prefix="tokenbench-") as path:
        yield {
            name: (getattr(subject.spec, name), event)
            for name, event in events_of(path).items()
            if callable(getattr(subject.spec, name, None))
        }


def _call(hook: Callable[..., Any], event: Event) -> Any:
    """A hook's return value. Exceptions are ignored: observer-accepts-events reports them."""
    with contextlib.suppress(Exception):
        return call_hook(hook, event=event)
    return None


def _call_or_fail(name: str, hook: Callable[..., Any], event: Event) -> Any:
    try:
        return call_hook(hook, event=event)
    except (Exception, SystemExit) as error:
        fail(f"{name} raised {type(error).__name__}: {error}")


@check(2, "observer")
def observer_has_a_hook(subject: Subject) -> None:
    """The module implements at least one observe hook.

    To fix: implement bench_run_started, bench_deployment_ready, bench_point_started,
    bench_point_finished, bench_eval_finished or bench_run_finished, with @hookimpl above it.
    """
    with _hooks(subject) as hooks:
        if not hooks:
            fail("it implements no observe hook")


@check(2, "observer")
def observer_accepts_events(subject: Subject) -> None:
    """The hooks do not raise for the events of a successful run.

    To fix: compare the attributes they read with the events in tokenbench.api.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            _call_or_fail(name, hook, event)


@check(2, "observer")
def observer_accepts_failures(subject: Subject) -> None:
    """The hooks do not raise for the events of a failed run: metrics are missing, the engine's
    version is None, there are no endpoints.

    To fix: check for None and missing values before computing.
    """
    with _hooks(subject) as good:
        for hook, event in good.values():
            _call(hook, event)
    with _hooks(subject, failures) as hooks:
        for name, (hook, event) in hooks.items():
            _call_or_fail(name, hook, event)


@check(2, "observer")
def observer_hooks_stand_alone(subject: Subject) -> None:
    """Each hook works without a previous call of another hook, in a fresh process: a run may have
    no points or no evals.

    To fix: create what a hook needs in that hook.
    """
    if sys.modules.get(subject.module) is not subject.spec:
        skip("its module cannot be imported by name")
    with _hooks(subject) as hooks:
        for name, (_, event) in hooks.items():
            path = getattr(event, "path", tempfile.gettempdir())
            done = subprocess.run(
                [sys.executable, "-P", "-c", _ALONE, subject.module, name, path],
                capture_output=True,
                text=True,
                timeout=_CHILD_LIMIT_S,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                fail(f"{name} called alone: {lines[-1]}")


@check(2, "observer")
def observer_returns_none(subject: Subject) -> None:
    """Hooks return None: observers cannot change a run.

    To fix: remove the return value; use an amendment to change a launch.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            returned = _call(hook, event)
            if returned is not None:
                fail(f"{name} returned {returned!r}")


@check(2, "observer")
def observer_is_fast(subject: Subject) -> None:
    """The fastest of three calls takes less than 0.1 s of CPU time and 1 s in total: measurements
    wait.

    To fix: move work to a thread, or to a separate process in bench_run_finished; give network
    calls a short timeout.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            cpu_s, wall_s = map(min, zip(*(_timed(hook, event) for _ in range(3)), strict=True))
            if cpu_s > _CPU_LIMIT_S or wall_s > _WALL_LIMIT_S:
                fail(f"{name} took {cpu_s:.2f} s of CPU time, {wall_s:.2f} s in total")


def _timed(hook: Callable[..., Any], event: Event) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.monotonic()
    _call(hook, event)
    return time.process_time() - cpu, time.monotonic() - wall


@check(2, "observer")
def observer_prints_nothing(subject: Subject) -> None:
    """Hooks print nothing on standard output: it has only the command's own text.

    To fix: write to a file in the run's folder, or log through structlog.
    """
    with _hooks(subject) as hooks:
        for name, (hook, event) in hooks.items():
            stdout = io.StringIO()
            with contextlib.redirect_stdout(stdout):
                _call(hook, event)
            if stdout.getvalue():
                fail(f"{name} printed {stdout.getvalue()[:60]!r}")
