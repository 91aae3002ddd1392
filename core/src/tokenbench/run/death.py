"""How a process of an engine ended, and the cause according to its log."""

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
"""Last lines of a log that an engine diagnoses: other processes may write long after a failure."""


@attrs.frozen(kw_only=True)
class Death:
    """The end of one process. `name`: ``ROLE-INDEX``, with its host if that is another one.
    `words`: the lines of its log that name an error. `diagnosis`: the engine's explanation of the
    log, if it knows the failure. `log`: the whole log. `lost`: see
    :class:`~tokenbench.launch.process_state.ProcessState`.
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
                "the machine may be out of memory (then `dmesg` names the process): use a smaller "
                "model, context or concurrency"
            )
        return "see its log"

    def error(self, what: str) -> EngineError:
        """The error that ends a run. `what` is the text before the colon."""
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
        """See :meth:`Death.error`."""
        return EngineError(
            f"{what}: {self}",
            hint="see the server's own log, and start it again; what was measured is kept",
        )


def death_of(deployment: Deployment, engine: Engine) -> Death | None:
    """How a process ended; None while all run. If several ended, the one that most likely caused
    the others to end.

    Args:
        engine: diagnoses the log.
    """
    dead = _dead(deployment)
    if not dead:
        return None
    if len(deployment.hosts) > 1:
        # The consequences of a lost host are often detected before the loss itself.
        deadline = time.monotonic() + _LOST_S
        while not any(state.lost for state in dead) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            dead = _dead(deployment)
    # After the death of one process, others exit normally or with an error, but are not killed.
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
    """Sort key: how likely it is that the process ended because another one did."""
    killed = state.exit_code == 128 + signal.SIGKILL
    return (state.lost is None, not killed, not state.exit_code)


def _dead(deployment: Deployment) -> list[ProcessState]:
    return [state for state in deployment.states() if state.ended]


def diagnosis(engine: Engine, log: str) -> Diagnosis | None:
    """The engine's diagnosis of a log; None if it has none. Its own failure is ignored, because the
    server's failure must be reported.
    """
    try:
        return engine.diagnose(log)
    except BenchError:
        return None


def last_lines(log: str) -> str:
    """The lines of a log from which an excerpt is made."""
    return "\n".join(log.splitlines()[-_LOG_LINES:])
