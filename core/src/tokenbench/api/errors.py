"""Errors that plugins and core raise for the user.

Each error is shown as two lines (``error:``, ``hint:``) and ends the command with its exit code.
Any other exception is shown as a bug. Exit codes: 0 ok, 1 the machine or bench itself failed, 2
usage, 3 plugin, 4 hardware absent, 5 engine, 6 measurement invalid or accuracy gate failed, 7 a
regression found by ``bench compare``, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path


class BenchError(Exception):
    """Base of all errors that reach the user as two lines.

    Args:
        message: what happened, in one sentence, without traceback or secrets.
        hint: what the user can do next, in one sentence.
        log: a file with more details, if there is one.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        # BaseException's own pickling drops keyword-only arguments.
        return (_rebuild, (type(self), self.message, self.hint, self.log))


def _rebuild(kind: type[BenchError], message: str, hint: str, log: Path | None) -> BenchError:
    return kind(message, hint=hint, log=log)


class MachineError(BenchError):
    """The machine failed: disk full, folder not writable, process limit reached."""

    exit_code = 1


class UsageError(BenchError):
    """The command line or the suite is wrong.

    Args:
        message: as for :class:`BenchError`, like `hint` and `log`.
        key: the deployment's key that is wrong (``topology.tp``), if an engine raises the error
            while planning. The error then shows that key's line or flag instead of the engine's.

    `pool`: the key of the pool for which the engine raised it, see :meth:`Layout.each`.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, hint: str, log: Path | None = None, key: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, log=log)
        self.key = key
        self.pool: str | None = None


class PluginError(BenchError):
    """A requested plugin is missing, broken or ambiguous."""

    exit_code = 3


class OptionalFeatureMissing(PluginError):
    """The plugin works, but an optional part of it (an extra) is not installed."""


class HardwareAbsent(BenchError):
    """The requested hardware is not on this machine."""

    exit_code = 4


class EngineError(BenchError):
    """The engine did not start, died, stalled, or gave a wrong response."""

    exit_code = 5


class MeasurementInvalid(BenchError):
    """A measurement is invalid, or the accuracy gate failed."""

    exit_code = 6


class Interrupted(BenchError):
    """The user stopped the run. What was measured is kept."""

    exit_code = 130
