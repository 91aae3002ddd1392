"""What a plugin or the core may raise towards the user.

Each error is two lines for the user (``error:``, ``hint:``) and one exit code. Anything else that
escapes is a bug, shown as such. The codes: 0 ok, 1 the machine or bench itself failed, 2 usage,
3 plugin, 4 hardware absent, 5 engine, 6 measurement invalid or accuracy gate failed, 130
interrupted.
"""

from __future__ import annotations

from pathlib import Path


class BenchError(Exception):
    """Base of all errors that reach the user as two lines.

    Args:
        message: what happened, one sentence, no traceback, no secret.
        hint: what the user can do next, one sentence.
        log: a file that holds more, if there is one.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive BaseException's own pickling.
        return (_rebuild, (type(self), self.message, self.hint, self.log))


def _rebuild(kind: type[BenchError], message: str, hint: str, log: Path | None) -> BenchError:
    return kind(message, hint=hint, log=log)


class MachineError(BenchError):
    """The machine failed us: disk full, folder not writable, process limit reached."""

    exit_code = 1


class UsageError(BenchError):
    """The command line or the suite is wrong."""

    exit_code = 2


class PluginError(BenchError):
    """A plugin that was asked for is absent, broken or ambiguous."""

    exit_code = 3


class OptionalFeatureMissing(PluginError):
    """The plugin is sound, but an optional part of it (an extra) is not installed."""


class HardwareAbsent(BenchError):
    """The hardware that was asked for is not on this machine."""

    exit_code = 4


class EngineError(BenchError):
    """The engine did not start, died, stalled, or answered what it must not answer."""

    exit_code = 5


class MeasurementInvalid(BenchError):
    """A measurement may not be used, or the accuracy gate failed."""

    exit_code = 6


class Interrupted(BenchError):
    """The user stopped the run; what was measured is kept."""

    exit_code = 130
