"""Decides from the responses of a starting server whether to keep waiting, and shows why."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tokenbench.api import BenchError, Engine, EngineError, LaunchPlan, Reply
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.failure import Cause, Explanation

# The reason for waiting is shown after this time.
_SHOWN_AFTER_S = 1.0
# How long the health path may answer with a status that means neither "ready" nor "not yet".
_UNEXPECTED_S = 1.5
_PHASE_EVERY_S = 1.0
_PHASE_LINES = 100
_NOT_YET = frozenset({404, 408, 425, 429, 502, 503, 504})
# Failures of requests that are normal while a server starts.
_MAY_START = frozenset(
    {
        Cause.REFUSED,
        Cause.UNREACHABLE,
        Cause.SILENT,
        Cause.TLS,
        Cause.NOT_HTTP,
        Cause.CLOSED,
        Cause.MODEL,
        Cause.PATH,
        Cause.RATE_LIMIT,
        Cause.UNAVAILABLE,
        Cause.SERVER_ERROR,
        Cause.ANSWER,
    }
)


class Starting:
    """Follows the failures of a server that starts.

    Args:
        explain: explains the failure of a request to a path.
        show: shows the reason for waiting to the user.
        external: the server was started elsewhere: the reason for waiting is shown, and an
            unexpected status is soon an error.
    """

    def __init__(
        self,
        explain: Callable[[str, str], Explanation],
        show: Callable[[str], None],
        *,
        external: bool,
    ) -> None:
        self._explain = explain
        self._show = show
        self._external = external
        self._begun = time.monotonic()
        self._shown = ""
        self._unexpected_since: float | None = None
        self.last: Explanation | None = None

    def health_failed(self, failure: tuple[str, str] | None) -> None:
        """Handle path and failure of the last call of a readiness check; None if it succeeded.

        Raises:
            EngineError: waiting does not help.
        """
        if failure is None:
            self.last = None
            return
        path, text = failure
        self._note(self._explain(text, path))
        status = re.match(r"HTTP (\d{3})", text)
        if not self._external or status is None or int(status[1]) in _NOT_YET:
            self._unexpected_since = None
            return
        self._unexpected_since = self._unexpected_since or time.monotonic()
        if time.monotonic() - self._unexpected_since > _UNEXPECTED_S:
            raise EngineError(
                f"the server answers its health path {path} with {text}",
                hint="see its log, and check that the engine's options name this kind of server",
            )

    def request_failed(self, failure: str, path: str) -> Cause:
        """Handle the failure of a request.

        Raises:
            EngineError: waiting does not help.
        """
        found = self._explain(failure, path)
        self._note(found)
        if found.cause not in _MAY_START:
            raise EngineError(found.message, hint=found.hint)
        return found.cause

    def _note(self, found: Explanation) -> None:
        self.last = found
        if found.permanent:
            raise EngineError(found.message, hint=found.hint)
        late = time.monotonic() - self._begun > _SHOWN_AFTER_S
        if self._external and late and found.message != self._shown:
            self._shown = found.message
            self._show(f"waiting: {found.message}")


def set_logs_aside(folder: Path, plan: LaunchPlan) -> None:
    """Rename logs of an earlier start of a resumed run to ``ROLE-INDEX.log.NUMBER``, so that they
    are not read as those of this start.
    """
    for role in dict.fromkeys(process.role for process in plan.processes):
        for log in folder.glob(f"{role}-*.log"):
            names = (log.with_name(f"{log.name}.{number}") for number in itertools.count(1))
            log.rename(next(name for name in names if not name.exists()))


class Phases:
    """Shows the startup phase of the started processes until the server is ready.

    Args:
        show: shows a phase; called when it changes.

    Attributes:
        last: the last known phase; empty if there is none.
    """

    def __init__(
        self,
        engine: Engine,
        deployment: Deployment,
        plan: LaunchPlan,
        show: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._deployment = deployment
        self._roles = tuple(dict.fromkeys(process.role for process in plan.processes))
        self._show = show
        self._looked = time.monotonic()
        self.last = ""

    def look(self) -> None:
        """Read the logs, once a second. After a failure of the plugin, phases are not shown."""
        if not self._roles or time.monotonic() - self._looked < _PHASE_EVERY_S:
            return
        self._looked = time.monotonic()
        try:
            found = {role: self._phase(role) for role in self._roles}
        except BenchError:
            self._roles = ()
            return
        known = {role: phase for role, phase in found.items() if phase}
        words = [f"{role}: {phase}" if len(found) > 1 else phase for role, phase in known.items()]
        if words and (text := ", ".join(words)) != self.last:
            self.last = text
            self._show(text)

    def _phase(self, role: str) -> str | None:
        return self._engine.phase(self._deployment.logs(role, lines=_PHASE_LINES))


def check_address(
    cause: Cause, get: Callable[[str], Reply], url: str, path: str, model: str
) -> None:
    """After a 404, ask the server for its models: they may show that waiting does not help.

    Raises:
        EngineError: the model's name or the address is wrong.
    """
    models = _models(get, "/v1/models")
    if models and model not in models and cause is Cause.MODEL:
        raise EngineError(
            f"the server at {url} does not serve the model {model!r}",
            hint=f"it serves {', '.join(models[:5])}{', ...' if len(models) > 5 else ''}",
        )
    if models and model in models and cause is Cause.PATH:
        raise EngineError(
            f"the server at {url} serves the model, but not the path {path}",
            hint="choose another API with the engine's option codec, or check the address",
        )


def find_root(get: Callable[[str], Reply], url: str) -> EngineError | None:
    """An error if the API is at the root of the host and not below the path of the address."""
    parts = urlsplit(url)
    if not parts.path.strip("/") or not _models(get, "/v1/models"):
        return None
    root = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    return EngineError(
        f"the address {url} has a path that the server does not know",
        hint=f"the server's API is at {root}/v1: use {root}",
    )


def _models(get: Callable[[str], Reply], path: str) -> list[str]:
    """The names on a page of models; none if it cannot be read."""
    try:
        reply = get(path)
        page = json.loads(reply.text) if reply.status == 200 else {}
        return [str(entry["id"]) for entry in page["data"]]
    except (ConnectionError, ValueError, KeyError, TypeError):
        return []
