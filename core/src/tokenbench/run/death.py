"""How a process of an engine ended, and what its log says about it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import attrs

from tokenbench.api import (
    BenchError,
    Diagnosis,
    Engine,
    EngineError,
)
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.process import tail
from tokenbench.launch.process_state import ProcessState

from .log_excerpt import excerpt

# Enough for the traceback of every rank and the shutdown messages after it.
_LOG_LINES = 400
_LOST_S = 1.0
_POLL_S = 0.02
DIAGNOSED_LINES = 4000
"""What an engine gets to see of a log: other processes may write on for long after the failure."""


@attrs.frozen(kw_only=True)
class Death:
    """The end of one process. `name`: ``ROLE-INDEX``, with its host if that is another one.
    `words`: the lines of its log that name an error. `diagnosis`: what the engine makes of the log,
    if it knows the failure. `log`: the whole log. `lost`: what else happened to it, as
    :class:`~tokenbench.launch.process_state.ProcessState` says.
    """

    name: str
    exit_code: int
    words: str
    log: Path
    diagnosis: Diagnosis | None = None
    lost: str | None = None

    def __str__(self) -> str:
        if self.lost is not None:
            return f"{self.name} {self.lost}"
        cause = self.words if self.diagnosis is None else self.diagnosis.cause
        return f"{self.name} {self._how}: {cause}"

    @property
    def hint(self) -> str:
        """What the user can do about it."""
        if self.lost is not None:
            return "check its host, and the connection to it"
        if self.diagnosis is not None and self.diagnosis.hint:
            return self.diagnosis.hint
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


def death_of(deployment: Deployment, engine: Engine) -> Death | None:
    """How a process ended; None while all run. Of several dead ones: the one whose end explains
    those of the others.

    Args:
        engine: asked what the log means.
    """
    dead = _dead(deployment)
    if not dead:
        return None
    if len(deployment.hosts) > 1:
        # What follows from the loss of a host is often noticed earlier than that.
        deadline = time.monotonic() + _LOST_S
        while not any(state.lost for state in dead) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            dead = _dead(deployment)
    # Others follow the death of one in order, or with an error. None is killed for that.
    first = min(dead, key=_consequence)
    file = deployment.log(first.place)
    log = tail(file, DIAGNOSED_LINES)
    host = first.place.host.name
    return Death(
        name=first.place.name + ("" if host == "localhost" else f" on {host}"),
        exit_code=first.exit_code or 0,
        words=excerpt(last_lines(log)),
        log=file if file.is_file() else file.parent,
        diagnosis=diagnosis(engine, log),
        lost=first.lost,
    )


def _consequence(state: ProcessState) -> tuple[bool, bool, bool]:
    """Sorts by how likely it is that the process ended because another one did."""
    killed = state.exit_code == 128 + signal.SIGKILL
    return (state.lost is None, not killed, not state.exit_code)


def _dead(deployment: Deployment) -> list[ProcessState]:
    return [state for state in deployment.states() if state.ended]


def diagnosis(engine: Engine, log: str) -> Diagnosis | None:
    """What the engine says about a log; None if it knows nothing, or fails: the failure that the
    log is about must be reported.
    """
    try:
        return engine.diagnose(log)
    except BenchError:
        return None


def last_lines(log: str) -> str:
    """As much of a log as an excerpt is made of."""
    return "\n".join(log.splitlines()[-_LOG_LINES:])
