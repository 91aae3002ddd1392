"""Engine, launcher and codec: a scripted server with the local launcher; each call is recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    Allocation,
    Codec,
    CommandResult,
    Counters,
    Deployment,
    Dialect,
    Endpoint,
    Engine,
    EngineRequest,
    FrozenMap,
    HttpRequest,
    Launcher,
    LauncherContext,
    LaunchPlan,
    ProcessSpec,
    ProcessState,
    Resources,
    Server,
    StreamEvent,
    Target,
    TextPrompt,
    Turn,
    UsageError,
    option,
    options,
    parse_prometheus,
)
from tokenbench.launch.local import LocalLauncher

from .notes import note

_WORDS = {"yes": True, "no": False, "unknown": None}


@options
class EngineOptions:
    """Behaviour of the engine. Answers are given in order; the last one is repeated."""

    script: str = option(default="", help="options of the scripted server, separated by spaces")
    rejects: bool = option(default=False, help="plan() raises UsageError")
    planned: str = option(default="planned 1", help="result of planned_version()", identity=False)
    ready: tuple[str, ...] = option(default=("yes",), help="yes, no, or gone")
    quiet: tuple[str, ...] = option(default=("yes",), help="yes, no, unknown, or gone")
    empties: bool = option(default=True, help="result of reset_cache()")
    silent: str = option(default="", help="the method for which the server does not answer")
    start_timeout_s: float = option(default=20.0, help="time limit for the start", unit="s")


class RecordingEngine(Engine):
    """One scripted server."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._asked = {"ready": 0, "quiet": 0}

    def _answer(self, member: str, answers: tuple[str, ...]) -> bool | None:
        word = answers[min(self._asked[member], len(answers) - 1)]
        self._asked[member] += 1
        if word == "gone":
            raise ConnectionError("gone on purpose")
        return _WORDS[word]

    def _record(self, member: str, server: Server) -> None:
        note(f"Engine.{member}", endpoints=server.endpoints)
        if self._options.silent == member:
            raise ConnectionError("silent on purpose")

    def plan(self, request: EngineRequest) -> LaunchPlan:
        note("Engine.plan", request=request)
        if self._options.rejects:
            raise UsageError("rejected on purpose", hint="leave out rejects")
        context = request.needs.context_tokens or 0
        process = ProcessSpec(
            argv=(sys.executable, "-m", "tokenbench.testing.server", "--port", "{port:http}"),
            flags=FrozenMap({"--itl-s": 0.001}),
            environment=FrozenMap({"RECORDING_CONTEXT": str(context)} if context > 64 else {}),
            accelerators=request.layout.accelerators,
        )
        process = _with_script(process, self._options.script)
        limit = self._options.start_timeout_s
        return LaunchPlan(processes=(process,), start_timeout_s=limit, served_name="recorded")

    def dialect(self, request: EngineRequest) -> Dialect:
        note("Engine.dialect", request=request)
        body = FrozenMap({"marked": True})
        return Dialect(codecs=("recording-lines",), extra_body=body)

    def ready(self, server: Server) -> bool:
        self._record("ready", server)
        return self._answer("ready", self._options.ready) is True

    def planned_version(self) -> str | None:
        note("Engine.planned_version")
        return self._options.planned

    def version(self, server: Server) -> str | None:
        self._record("version", server)
        return str(json.loads(server.get("/version").text)["version"])

    def facts(self, server: Server) -> FrozenMap[str]:
        self._record("facts", server)
        return FrozenMap({"build": "build 7"})

    def reset_cache(self, server: Server) -> bool:
        self._record("reset_cache", server)
        return self._options.empties

    def quiescent(self, server: Server) -> bool | None:
        self._record("quiescent", server)
        return self._answer("quiet", self._options.quiet)

    def counters(self, text: str) -> Counters:
        note("Engine.counters", text=text)
        page = parse_prometheus(text)
        return Counters(
            prompt_tokens=page["scripted_prompt_tokens_total"],
            generated_tokens=page["scripted_generated_tokens_total"],
            preemptions=3,
        )


def _with_script(process: ProcessSpec, script: str) -> ProcessSpec:
    return attrs.evolve(process, argv=(*process.argv, *script.split()))


@options
class LauncherOptions:
    """Delays of the launcher."""

    late: int = option(default=0, help="number of reads of endpoints before they are known")


class RecordingLauncher(Launcher):
    """The local launcher; each call is recorded."""

    def __init__(self, options: LauncherOptions, context: LauncherContext) -> None:
        self._late = options.late
        self._local = LocalLauncher(context)

    def allocate(self, resources: Resources) -> Allocation:
        allocation = self._local.allocate(resources)
        note("Launcher.allocate", resources=resources, allocation=allocation)
        return allocation

    def start(self, plan: LaunchPlan, allocation: Allocation) -> Deployment:
        note("Launcher.start", plan=plan, allocation=allocation)
        return RecordingDeployment(self._local.start(plan, allocation), self._late)

    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        return self._local.run_on(host, argv, timeout_s=timeout_s)

    def put(self, host: str, local: Path, remote: str) -> None:
        self._local.put(host, local, remote)

    def get(self, host: str, remote: str, local: Path) -> None:
        self._local.get(host, remote, local)

    def attach(self, id: str) -> Deployment:
        return self._local.attach(id)


class RecordingDeployment(Deployment):
    """A local deployment; each call is recorded."""

    def __init__(self, inner: Deployment, late: int) -> None:
        self.id = inner.id
        self._inner = inner
        self._late = late

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        note("Deployment.endpoints")
        self._late -= 1
        return () if self._late >= 0 else self._inner.endpoints

    def status(self) -> Sequence[ProcessState]:
        found = self._inner.status()
        note("Deployment.status", states=tuple(found))
        return found

    def logs(self, role: str, *, lines: int = 200) -> str:
        note("Deployment.logs", role=role, lines=lines)
        return self._inner.logs(role, lines=lines) + "\nerror: last words of recording"

    def cancel(self) -> None:
        note("Deployment.cancel")
        self._inner.cancel()


class LinesCodec(Codec):
    """The scripted server's own protocol: JSON lines."""

    name = "recording-lines"
    framing = "lines"
    ends_with_done = False

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        assert isinstance(turn.prompt, TextPrompt)
        note("Codec.encode", turn=turn, target=target)
        if "unsupported" in turn.prompt.text:
            raise UsageError("unsupported on purpose", hint="use another prompt")
        body = {"text": turn.prompt.text, "tokens": turn.max_tokens}
        return HttpRequest(path="/lines", body=json.dumps(body).encode())

    def classify(self, event: bytes) -> StreamEvent:
        note("Codec.classify", event=event.decode())
        data: dict[str, Any] = json.loads(event)
        if "word" in data:
            return StreamEvent(token=True, n_tokens=1, text=data["word"])
        return StreamEvent(n_in=100 + data["in"], n_out=data["out"], done=True)


class GarbageCodec(LinesCodec):
    """Decodes no event."""

    name = "recording-garbage"

    def classify(self, event: bytes) -> StreamEvent:
        raise ValueError("unreadable on purpose")
