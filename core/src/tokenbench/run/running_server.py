"""One server from start to stop: readiness, counters, quiescence, and how it died."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from tokenbench.api import (
    Codec,
    Counters,
    Deployment,
    Dialect,
    Engine,
    EngineError,
    EngineRequest,
    EngineSpec,
    Interrupted,
    Launcher,
    LaunchPlan,
    Resources,
    Target,
    Turn,
)
from tokenbench.launch.control import ControlClient
from tokenbench.launch.secret import redact, secrets
from tokenbench.load.generate import Generated, generate

from .access_notes import access_notes
from .negotiate import Negotiator, plain_prompt

_POLL_S = 0.1
_READY_TIMEOUT_S = 60.0
_QUIET_LIMIT_S = 30.0
_REAPED_S = 3.0


@attrs.frozen(kw_only=True)
class Scrape:
    """An engine's counters; None if it has none, or if they could not be read (`error`)."""

    counters: Counters | None = None
    error: str | None = None


class RunningServer:
    """A running deployment and its engine. Use as a context manager."""

    def __init__(
        self,
        *,
        spec: EngineSpec,
        engine: Engine,
        request: EngineRequest,
        plan: LaunchPlan,
        launcher: Launcher,
        codec: Callable[[str], Codec],
        interrupted: Callable[[], bool],
        log_folder: Path,
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.request = request
        self.plan = plan
        self.api_key_env = plan.api_key_env
        self.dialect: Dialect = engine.dialect(request)
        self.version: str | None = None
        self.facts: dict[str, str] = {}
        self.notes: list[str] = []
        self.start_s = 0.0
        self._launcher = launcher
        self._codec = codec
        self._interrupted = interrupted
        self._log_folder = log_folder
        self._deployment: Deployment | None = None
        self._control: ControlClient | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes and wait for the first generated token.

        Raises:
            EngineError: the server died, was not ready in time, or generates nothing.
            Interrupted: the user stopped the run.
        """
        begun = time.monotonic()
        allocation = self._launcher.allocate(
            Resources(
                processes=self.plan.processes,
                accelerator_sku=self.request.hardware.sku,
            )
        )
        self._deployment = self._launcher.start(self.plan, allocation)
        deadline = begun + self.plan.start_timeout_s
        self._wait_endpoints(deadline)
        self._control = ControlClient(
            self._deployment.endpoints, api_key_env=self.api_key_env, access=self.plan.access
        )
        self.notes = access_notes(self.url, self.plan.access)
        self._wait_ready(deadline)
        negotiator = self._negotiator()
        self._first_token(deadline, negotiator)
        if negotiator is not None:
            self.dialect = negotiator.result()
            self.notes += negotiator.notes
        self.version = self._ask_version()
        self.facts = {**self._ask_facts(), **(negotiator.facts if negotiator else {})}
        self.start_s = time.monotonic() - begun

    def stop(self) -> None:
        """Stop every process. May be called twice."""
        if self._control is not None:
            self._control.close()
        if self._deployment is not None:
            self._deployment.cancel()

    def __enter__(self) -> RunningServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- questions -------------------------------------------------------------------------------

    @property
    def deployment(self) -> Deployment:
        """The launcher's handle."""
        assert self._deployment is not None
        return self._deployment

    @property
    def control(self) -> ControlClient:
        """The HTTP client for control calls."""
        assert self._control is not None
        return self._control

    @property
    def url(self) -> str:
        """The endpoint that takes the load."""
        return self.deployment.endpoints[0].url

    def alive(self) -> bool:
        """Whether every process is running."""
        return all(state.exit_code is None for state in self.deployment.status())

    def death(self) -> str | None:
        """How the first dead process ended, with the end of its log; None while all run."""
        for state in self.deployment.status():
            if state.exit_code is not None:
                tail = last_words(self.deployment.logs(state.role, lines=30))
                how = (
                    f"was killed by signal {state.exit_code - 128}"
                    if state.exit_code > 128
                    else f"ended with exit code {state.exit_code}"
                )
                return f"{state.role} {how}: {tail}"
        return None

    def found_dead(self) -> str | None:
        """As :meth:`death`, but waits a moment if the server refuses connections.

        A process closes its sockets before its exit is reported, and requests fail at once.
        """
        deadline = time.monotonic() + _REAPED_S
        while (how := self.death()) is None and self._refuses() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return how

    def target(self) -> Target:
        """What requests are encoded for."""
        return Target(model=self.plan.served_name or self.request.served_name, dialect=self.dialect)

    def scrape(self) -> Scrape:
        """Scrape the engine's counters, summed over endpoints."""
        if not self.spec.capabilities.counters:
            return Scrape()
        pages = []
        for index, endpoint in enumerate(self.deployment.endpoints):
            if endpoint.metrics_url is None:
                continue
            path = endpoint.metrics_url.removeprefix(endpoint.url.rstrip("/"))
            try:
                reply = self.control.get(path, endpoint=index)
            except ConnectionError as error:
                return Scrape(error=f"{endpoint.metrics_url} does not answer: {error}")
            if reply.status != 200:
                return Scrape(error=f"{endpoint.metrics_url} answers with status {reply.status}")
            pages.append(reply.text)
        return Scrape(counters=self.engine.counters("\n".join(pages))) if pages else Scrape()

    def settle(self) -> str | None:
        """Wait until the server is idle, then empty its cache. Returns what failed, if anything."""
        deadline = time.monotonic() + _QUIET_LIMIT_S
        try:
            while self.engine.quiescent(self.control) is False:
                if not self.alive():
                    return "the server ended"
                if time.monotonic() > deadline or self._interrupted():
                    return "the server still reported requests in flight"
                time.sleep(_POLL_S)
            if (
                self.spec.capabilities.reset_cache
                and self.engine.reset_cache(self.control) is False
            ):
                return "the server did not empty its prefix cache"
        except ConnectionError as error:
            return f"the server did not answer: {error}"
        return None

    # -- inside ----------------------------------------------------------------------------------

    def _refuses(self) -> bool:
        """Whether an endpoint refuses connections."""
        for endpoint in self.deployment.endpoints:
            parts = urlsplit(endpoint.url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            try:
                socket.create_connection((parts.hostname, port), timeout=1.0).close()
            except ConnectionRefusedError:
                return True
            except OSError:  # Slow or unreachable is not dead.
                continue
        return False

    def _wait_endpoints(self, deadline: float) -> None:
        """A launcher may know hosts and ports only once the processes run."""
        while not self.deployment.endpoints:
            self._still_possible(deadline, "had no address")
            time.sleep(_POLL_S)

    def _wait_ready(self, deadline: float) -> None:
        failing = "did not become ready"
        while True:
            self._still_possible(deadline, failing)
            try:
                if self.engine.ready(self.control):
                    return
                failing = "did not become ready"
            except ConnectionError:
                failing = f"did not answer at {self.url}"
            time.sleep(_POLL_S)

    def _first_token(self, deadline: float, negotiator: Negotiator | None) -> None:
        said: Generated | None = None
        while True:
            self._still_possible(deadline, f"generated nothing ({said.error if said else ''})")
            limit_s = min(_READY_TIMEOUT_S, max(1.0, deadline - time.monotonic()))
            said = self._generate_one(limit_s)
            if said.error is None:
                return
            if negotiator is not None and negotiator.plainer(said):
                return
            if said.error.startswith("HTTP 4"):
                raise EngineError(
                    f"the server refuses a plain request: {said.error}",
                    hint="check the model's name and the engine's options",
                )
            time.sleep(_POLL_S)

    def _negotiator(self) -> Negotiator | None:
        wanted = self.engine.negotiation(self.request)
        if wanted is None:
            return None

        def send(dialect: Dialect, codec: str, turn: Turn) -> Generated:
            if self._interrupted():
                raise Interrupted("interrupted while the server was starting", hint="run it again")
            return self._send(codec, turn, dialect, _READY_TIMEOUT_S)

        return Negotiator(wanted, self.dialect, send, self.control, self.target().model)

    def _generate_one(self, timeout_s: float) -> Generated:
        codec = self.dialect.codecs[0]
        turn = Turn(prompt=plain_prompt(codec), max_tokens=1)
        return self._send(codec, turn, self.dialect, timeout_s)

    def _send(self, codec: str, turn: Turn, dialect: Dialect, timeout_s: float) -> Generated:
        return generate(
            self.url,
            self._codec(codec),
            turn,
            attrs.evolve(self.target(), dialect=dialect),
            self.control.api_key,
            timeout_s=timeout_s,
            access=self.plan.access,
        )

    def _still_possible(self, deadline: float, failing: str) -> None:
        if self._interrupted():
            raise Interrupted("interrupted while the server was starting", hint="run it again")
        death = self.death()
        if death is not None:
            raise EngineError(
                f"the engine {self.spec.name!r} did not start: {death}",
                hint="see the end of its log",
                log=self._log_folder,
            )
        if time.monotonic() > deadline:
            raise self._too_late(failing)

    def _too_late(self, failing: str) -> EngineError:
        message = f"the server {failing} within {self.plan.start_timeout_s:g} s"
        if not self.plan.processes:
            return EngineError(message, hint="start it first, or check the address")
        said = last_words(self.deployment.logs(self.request.layout.pools[0].role, lines=10))
        return EngineError(
            f"{message}; the end of its log: {said}",
            hint="see its log; a larger model may need more time",
            log=self._log_folder,
        )

    def _ask_facts(self) -> dict[str, str]:
        try:
            return {k: self._redacted(v) for k, v in self.engine.facts(self.control).items()}
        except ConnectionError:
            return {}

    def _ask_version(self) -> str | None:
        try:
            found = self.engine.version(self.control)
        except ConnectionError:
            return None
        return None if found is None else self._redacted(found)

    def _redacted(self, text: str) -> str:
        return redact(text, secrets(self.url, self.plan.access, self.control.api_key))


def last_words(log: str) -> str:
    """The last three non-empty lines of a log, on one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:] or "its log is empty"
