"""Engine, launcher and codec: a scripted server with the local launcher; each call is recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Allocation,
    Codec,
    Counters,
    Diagnosis,
    Dialect,
    Engine,
    EngineRequest,
    FrozenMap,
    HardwareAbsent,
    Host,
    HttpRequest,
    Launcher,
    LaunchPlan,
    MetricsPage,
    PluginContext,
    ProcessSpec,
    Resources,
    ServerClient,
    StreamEvent,
    Target,
    TextPrompt,
    Turn,
    UsageError,
    merge_pages,
    option,
    options,
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

    def _record(self, member: str, server: ServerClient) -> None:
        note(f"Engine.{member}", endpoints=server.endpoints)
        if self._options.silent == member:
            raise ConnectionError("silent on purpose")

    def plan(self, request: EngineRequest) -> LaunchPlan:
        note("Engine.plan", request=request)
        if self._options.rejects:
            raise UsageError("rejected on purpose", hint="leave out rejects")
        context = request.needs.context_tokens or 0
        process = ProcessSpec(
            argv=(sys.executable, "-m", "tokenbench_testing.server", "--port", "{port:http}"),
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

    def ready(self, server: ServerClient) -> bool:
        self._record("ready", server)
        return self._answer("ready", self._options.ready) is True

    def planned_version(self) -> str | None:
        note("Engine.planned_version")
        return self._options.planned

    def version(self, server: ServerClient) -> str | None:
        self._record("version", server)
        return str(json.loads(server.get("/version").text)["version"])

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        self._record("facts", server)
        return FrozenMap({"build": "build 7"})

    def reset_cache(self, server: ServerClient) -> bool:
        self._record("reset_cache", server)
        return self._options.empties

    def quiescent(self, server: ServerClient) -> bool | None:
        self._record("quiescent", server)
        return self._answer("quiet", self._options.quiet)

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        note("Engine.counters", pages=pages)
        page = merge_pages(pages)
        return Counters(
            prompt_tokens=page.sum("scripted_prompt_tokens_total"),
            generated_tokens=page.sum("scripted_generated_tokens_total"),
            preemptions=3,
        )

    def diagnose(self, log: str) -> Diagnosis | None:
        note("Engine.diagnose", log=log)
        if "invalid float value" not in log:
            return None
        return Diagnosis(cause="an option of the script is wrong", hint="leave it out")

    def phase(self, log: str) -> str | None:
        note("Engine.phase", log=log)
        return "opening the port" if "listening" in log else None


def _with_script(process: ProcessSpec, script: str) -> ProcessSpec:
    return attrs.evolve(process, argv=(*process.argv, *script.split()))


@options
class LauncherOptions:
    """Faults of the launcher."""

    closed: bool = option(default=False, help="the channel ends at once")
    absent: bool = option(default=False, help="there are no hosts")


class RecordingLauncher(Launcher):
    """The local launcher; each call is recorded."""

    def __init__(self, options: LauncherOptions, context: PluginContext) -> None:
        self._options = options
        self._local = LocalLauncher()

    def allocate(self, resources: Resources) -> Allocation:
        if self._options.absent:
            raise HardwareAbsent("no hosts on purpose", hint="leave out absent")
        allocation = self._local.allocate(resources)
        note("Launcher.allocate", resources=resources, allocation=allocation)
        return allocation

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        note("Launcher.channel", host=host.name, argv=tuple(argv))
        if self._options.closed:
            return ("sh", "-c", "echo closed on purpose >&2; exit 3")
        return self._local.channel(host, argv)

    def release(self, allocation: Allocation) -> None:
        note("Launcher.release", allocation=allocation)


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
