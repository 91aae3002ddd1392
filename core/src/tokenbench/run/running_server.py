"""One server from start to stop: readiness, counters, quiescence, and the cause of its death."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import attrs

from tokenbench.api import (
    Codec,
    Dialect,
    Endpoint,
    Engine,
    EngineError,
    EngineRequest,
    EngineSpec,
    Interrupted,
    Launcher,
    LaunchPlan,
    Target,
    Turn,
)
from tokenbench.launch.control import ControlClient
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.failure import Cause, Explanation, explain
from tokenbench.launch.http_failure import check_scheme, connect
from tokenbench.launch.proxy import find_proxy
from tokenbench.launch.secret import redact, secrets
from tokenbench.launch.settings import LaunchSettings
from tokenbench.load.generate import Generated, generate

from .access_notes import access_notes
from .death import DIAGNOSED_LINES, Death, Gone, death_of, diagnosis, last_lines
from .interruptible import interruptible
from .log_excerpt import excerpt
from .negotiate import Negotiator, plain_prompt
from .participation import idle_roles
from .scrape import Scrape, scrape
from .starting import Phases, Starting, check_address, find_root, set_logs_aside

_POLL_S = 0.1
# The interval between requests to a starting server doubles up to this.
_MAX_POLL_S = 1.0
_READY_TIMEOUT_S = 60.0
_QUIET_LIMIT_S = 30.0
_REAPED_S = 3.0
# vLLM counts a request when it has ended, Dynamo's workers when they have answered it.
_COUNTED_S = 3.0


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
        settings: LaunchSettings,
        codec: Callable[[str], Codec],
        interrupted: Callable[[], bool],
        show: Callable[[str], None] = lambda _: None,
        show_phase: Callable[[str], None] = lambda _: None,
        mark: str = "",
    ) -> None:
        self.spec, self.engine = spec, engine
        self.request, self.plan = request, plan
        self.api_key_env = plan.api_key_env
        self.dialect: Dialect = engine.dialect(request)
        self.version: str | None = None
        self.facts: dict[str, str] = {}
        self.notes: list[str] = []
        self.start_s = 0.0
        self._launcher, self._settings = launcher, settings
        self._codec = codec
        self._interrupted = interrupted
        self.log_folder = settings.logs
        self._show, self._mark = show, mark
        self._show_phase = show_phase
        self._deployment: Deployment | None = None
        self._control: ControlClient | None = None
        self._phases: Phases | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes and wait for the first generated token.

        Raises:
            EngineError: the server died, was not ready in time, or generates nothing.
            Interrupted: the user stopped the run.
        """
        set_logs_aside(self.log_folder, self.plan)
        self._deployment = Deployment(self._launcher, self.plan, self._settings)
        begun = time.monotonic()
        interruptible(self._deployment.start, self._interrupted)
        # The time in which the launcher waited for hosts does not count.
        begun += self._deployment.queue_s
        deadline = begun + self.plan.start_timeout_s
        self._phases = Phases(self.engine, self._deployment, self.plan, self._show_phase)
        self._wait_processes(deadline, self._phases)
        self._control = ControlClient(
            self._deployment.endpoints,
            api_key_env=self.api_key_env,
            access=self.plan.access,
            timeout_s=self.spec.capabilities.control_timeout_s,
        )
        self.notes = access_notes(self.url, self.plan.access)
        starting = Starting(self.explain, self._show, external=not self.plan.processes)
        self._wait_ready(deadline, starting, self._phases)
        negotiator = self._negotiator()
        self._first_token(deadline, starting, negotiator)
        if negotiator is not None:
            self.dialect = interruptible(negotiator.result, self._interrupted)
            self.notes += negotiator.notes
        self.version = self._ask_version()
        self.facts = {**self._ask_facts(), **(negotiator.facts if negotiator else {})}
        self.start_s = time.monotonic() - begun

    def stop(self) -> None:
        """Stop every process. May be called twice."""
        if self._control is not None:
            self._control.close()
        if self._deployment is not None:
            self._deployment.stop()

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
        """The launched processes."""
        assert self._deployment is not None
        return self._deployment

    @property
    def control(self) -> ControlClient:
        """The HTTP client for control calls."""
        assert self._control is not None
        return self._control

    @property
    def url(self) -> str:
        """The URL that gets the load."""
        return self.deployment.endpoints[0].url

    def alive(self) -> bool:
        """Whether every process is running."""
        return not any(state.ended for state in self.deployment.states())

    def death(self) -> Death | None:
        """How a process ended, and why according to its log; None while all run."""
        return death_of(self.deployment, self.engine)

    def found_dead(self) -> Death | Gone | None:
        """As :meth:`death`, but waits a moment if the server refuses connections.

        A process closes its sockets before its exit is reported, and requests fail at once.
        """
        deadline = time.monotonic() + _REAPED_S
        while (how := self.death()) is None and self._refuses():
            if time.monotonic() > deadline:
                return Gone(self.url)
            if self._interrupted():
                break
            time.sleep(_POLL_S)
        return how

    def explain(self, failure: str, path: str = "") -> Explanation:
        """The message and the hint for the failure of a request or a control call.

        Some servers do not answer requests with the wrong scheme, so the other one is tried too.
        """
        failure = self._redacted(failure)
        if find_proxy(self.url, self.plan.access) is None:
            failure = check_scheme(failure, self.url)
        found = explain(failure, self.url, key_variable=self.api_key_env)
        if found.cause is Cause.PATH:
            return explain(failure, self.url + path)
        return found

    def target(self) -> Target:
        """Model and dialect for which requests are encoded."""
        return Target(model=self.plan.served_name or self.request.served_name, dialect=self.dialect)

    def scrape(self) -> Scrape:
        """Read the engine's counters, if it has any."""
        if not self.spec.capabilities.counters:
            return Scrape()
        return scrape(self.engine, self.control, self.request.layout)

    def settle(self, *, empty_cache: bool = True) -> str | None:
        """Wait until the server is idle, then empty its cache. Returns what failed, if anything."""
        try:
            return interruptible(partial(self._settle, empty_cache), self._interrupted)
        except ConnectionError as error:
            return f"the server did not answer: {error}"
        except Interrupted as error:
            return error.message

    def _settle(self, empty_cache: bool) -> str | None:
        deadline = time.monotonic() + _QUIET_LIMIT_S
        while self.engine.quiescent(self.control) is False:
            if not self.alive():
                return "the server ended"
            if time.monotonic() > deadline or self._interrupted():
                return "the server still reported requests in flight"
            time.sleep(_POLL_S)
        can = empty_cache and self.spec.capabilities.reset_cache
        if can and self.engine.reset_cache(self.control) is False:
            return "the server did not empty its prefix cache"
        return None

    # -- inside ----------------------------------------------------------------------------------

    def _refuses(self) -> bool:
        """Whether an endpoint refuses connections. Endpoints behind a proxy are not checked."""
        for endpoint in self.deployment.endpoints:
            if find_proxy(endpoint.url, self.plan.access) is not None:
                continue
            try:
                connect(endpoint.url).close()
            except ConnectionRefusedError:
                return True
            except OSError:  # A slow or unreachable server is not dead.
                continue
        return False

    def _wait_processes(self, deadline: float, phases: Phases) -> None:
        """Start the processes that wait for other processes."""
        deployment = self.deployment
        while not interruptible(deployment.proceed, self._interrupted):
            phases.look()
            self._still_possible(deadline, f"({deployment.waits_for}) did not become ready")
            time.sleep(_POLL_S)

    def _wait_ready(self, deadline: float, starting: Starting, phases: Phases) -> None:
        while True:
            phases.look()
            self._still_possible(deadline, "did not become ready", starting)
            try:
                ready = interruptible(lambda: self.engine.ready(self.control), self._interrupted)
            except ConnectionError:
                ready = False
            if ready:
                return
            starting.health_failed(self.control.last_failure)
            time.sleep(_POLL_S)

    def _first_token(
        self, deadline: float, starting: Starting, negotiator: Negotiator | None
    ) -> None:
        poll_s = _POLL_S
        failing = "generated nothing"
        while True:
            self._still_possible(deadline, failing, starting)
            limit_s = min(_READY_TIMEOUT_S, max(1.0, deadline - time.monotonic()))
            before = self._scrape_roles()
            response = interruptible(partial(self._generate_one, limit_s), self._interrupted)
            if response.error is None:
                idle = self._idle_roles(before)
                if not idle:
                    return
                roles = " and ".join(map(repr, idle))
                failing = f"gave no answer in which the role {roles} took part"
                continue
            if negotiator is not None and negotiator.plainer(response):
                return
            codec = self._codec(self.dialect.codecs[0])
            path = codec.encode(self._first_turn(), self.target()).path
            cause = starting.request_failed(response.error, path)
            if cause in (Cause.MODEL, Cause.PATH):
                self._check_address(cause, path)
            time.sleep(min(poll_s, max(0.0, deadline - time.monotonic())))
            poll_s = min(_MAX_POLL_S, 2 * poll_s)

    def _scrape_roles(self) -> Scrape:
        """Counters by role if prefill and decode run in separate pools."""
        if not self.request.layout.disaggregated:
            return Scrape()
        return interruptible(self.scrape, self._interrupted)

    def _idle_roles(self, before: Scrape) -> tuple[str, ...]:
        """The roles that took no part in the last request. Counters may rise a moment later."""
        deadline = time.monotonic() + _COUNTED_S
        while idle := idle_roles(before, self._scrape_roles()):
            if time.monotonic() > deadline or self._interrupted() or not self.alive():
                break
            time.sleep(_POLL_S)
        return idle

    def _check_address(self, cause: Cause, path: str) -> None:
        check_address(cause, self.control.get, self.url, path, self.target().model)
        parts = urlsplit(self.url)
        root = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        client = ControlClient(
            (Endpoint(url=root, role="server", index=0),),
            api_key_env=self.api_key_env,
            access=self.plan.access,
        )
        try:
            error = find_root(client.get, self.url)
        finally:
            client.close()
        if error is not None:
            raise error

    def _first_turn(self) -> Turn:
        tokens = self.plan.first_prompt_tokens
        return Turn(prompt=plain_prompt(self.dialect.codecs[0], tokens), max_tokens=1)

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
        return self._send(self.dialect.codecs[0], self._first_turn(), self.dialect, timeout_s)

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

    def _still_possible(
        self, deadline: float, failing: str, starting: Starting | None = None
    ) -> None:
        if self._interrupted():
            raise Interrupted("interrupted while the server was starting", hint="run it again")
        death = self.death()
        if death is not None:
            raise death.error(f"the engine {self.spec.name!r} did not start")
        if time.monotonic() > deadline:
            raise self._too_late(failing, starting.last if starting is not None else None)

    def _too_late(self, failing: str, last: Explanation | None) -> EngineError:
        seen = self._phases.last if self._phases is not None else ""
        message = f"the server {failing} within {self.plan.start_timeout_s:g} s"
        message += f" (last seen: {seen})" if seen else ""
        if last is not None:
            message += f"; last failure: {last.message}"
        if not self.plan.processes:
            hint = last.hint if last is not None else "start it first, or check the address"
            return EngineError(message, hint=hint)
        log = self.deployment.logs(self.request.layout.pools[0].key, lines=DIAGNOSED_LINES)
        if (found := diagnosis(self.engine, log)) is not None:
            hint = found.hint or "see its log"
            return EngineError(f"{message}: {found.cause}", hint=hint, log=self.log_folder)
        return EngineError(
            f"{message}; its log says: {excerpt(last_lines(log))}",
            hint="see its log; a larger model may need more time",
            log=self.log_folder,
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
            found = None
        if self._mark and self._mark not in (found or ""):
            found = f"{found or self.spec.name} ({self._mark})"
        return None if found is None else self._redacted(found)

    def _redacted(self, text: str) -> str:
        return redact(text, secrets(self.url, self.plan.access, self.control.api_key))
