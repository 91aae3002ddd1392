"""How a process of an engine ended, and what its log says about it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import attrs

from tokenbench.api import Deployment, EngineError, ProcessState
from tokenbench.launch.process import tail

from .log_excerpt import excerpt

# Enough for the traceback of every rank and the shutdown messages after it.
_LOG_LINES = 400


@attrs.frozen(kw_only=True)
class Death:
    """The end of one process. `words`: the lines of its log that name an error. `log`: the whole
    log, or the folder that it should be in.
    """

    role: str
    index: int
    exit_code: int
    words: str
    log: Path

    def __str__(self) -> str:
        return f"{self.role}-{self.index} {self._how}: {self.words}"

    @property
    def hint(self) -> str:
        """What the user can do about it."""
        if self._signal == "SIGKILL":
            return (
                "probably the machine is out of memory: then `dmesg` names the process; use a "
                "smaller model, context or concurrency"
            )
        return "see its log"

    def error(self, what: str) -> EngineError:
        """The error that ends a run. `what`: what was going on, before the colon."""
        return EngineError(f"{what}: {self}", hint=self.hint, log=self.log)

    @property
    def _signal(self) -> str | None:
        """The name of the signal that ended it, as shells and launchers encode it: 128 + N."""
        try:
            return signal.Signals(self.exit_code - 128).name
        except ValueError:
            return None

    @property
    def _how(self) -> str:
        if self._signal is not None:
            return f"was killed by {self._signal}"
        return f"ended with exit code {self.exit_code}"


@attrs.frozen
class Gone:
    """The end of a server that was started elsewhere."""

    url: str

    def __str__(self) -> str:
        return f"nothing listens at {self.url} any more"

    def error(self, what: str) -> EngineError:
        """As :meth:`Death.error`."""
        return EngineError(
            f"{what}: {self}",
            hint="see the server's own log, and start it again; what was measured is kept",
        )


def death_of(deployment: Deployment, folder: Path) -> Death | None:
    """How a process ended; None while all run. Of several dead ones: the first that failed.

    Args:
        folder: with the log of each process, ``ROLE-INDEX.log``.
    """
    states = deployment.status()
    dead = [state for state in states if state.exit_code is not None]
    if not dead:
        return None
    # A process that ended in order may have followed another one's death.
    first = next((state for state in dead if state.exit_code), dead[0])
    file = folder / f"{first.role}-{first.index}.log"
    return Death(
        role=first.role,
        index=first.index,
        exit_code=first.exit_code or 0,
        words=excerpt(_log(deployment, first, states, file)),
        log=file if file.is_file() else folder,
    )


def _log(
    deployment: Deployment, state: ProcessState, states: Sequence[ProcessState], file: Path
) -> str:
    """The end of the process's own log, where the launcher tells replicas apart."""
    replicas = sum(other.role == state.role for other in states)
    if replicas > 1 and file.is_file():
        return tail(file, _LOG_LINES)
    return deployment.logs(state.role, lines=_LOG_LINES)
