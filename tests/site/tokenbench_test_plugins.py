"""Test plugins: an engine with a scripted server, models with missing or damaged weights."""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Sequence

import attrs

from tokenbench.api import (
    COMPLETIONS,
    Amendment,
    AmendRequest,
    Codec,
    CodecSpec,
    Counters,
    Dialect,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    FrozenMap,
    HttpRequest,
    LaunchPlan,
    MetricsPage,
    ModelSpec,
    PluginContext,
    ProcessSpec,
    ServerClient,
    StreamEvent,
    Target,
    TextPrompt,
    Tokenizer,
    Turn,
    Weights,
    hookimpl,
    merge_pages,
    option,
    options,
    parse_metrics,
)


def _chatter() -> None:
    """Print, here and in a child process, if the test sets TOKENBENCH_TEST_PRINT."""
    if os.environ.get("TOKENBENCH_TEST_PRINT"):
        print("a plugin prints", flush=True)
        os.system("echo a child of a plugin prints")


_chatter()


@options
class ScriptedOptions:
    """Options of the scripted engine."""

    script: str = option(default="", help="options of tokenbench_testing.server, spaces between")
    start_timeout_s: float = option(default=20.0, help="time limit of the start", unit="s")
    codec: str = option(default=COMPLETIONS, help="codec: an OpenAI one, or scripted-lines")
    dies: bool = option(default=False, help="the process ends at once")
    sized: bool = option(default=False, help="its process depends on the context that is needed")
    words: bool = option(default=False, help="its tokenizer is known: no words are measured")


class Words(Tokenizer):
    """The scripted server's: a token for each word."""

    vocab_size, special_ids = 1000, frozenset()

    def encode(self, text: str) -> tuple[int, ...]:
        """Equal words have equal ids."""
        return tuple(zlib.crc32(word.encode()) % self.vocab_size for word in text.split())

    def decode(self, ids: Sequence[int]) -> str:
        """Words that are their ids."""
        return "".join(f" {number}" for number in ids)


class Scripted(Engine):
    """Starts a scripted server."""

    def __init__(self, options: ScriptedOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process."""
        _chatter()
        argv = (sys.executable, "-P", "-m", "tokenbench_testing.server", "--port", "{port:http}")
        if self._options.dies:
            argv = ("sh", "-c", "echo out of memory, says the engine; exit 3")
        needed = {"SCRIPTED_CONTEXT": str(request.needs.context_tokens)}
        process = ProcessSpec(
            argv=(*argv, *self._options.script.split()),
            environment=FrozenMap(needed if self._options.sized else {}),
        )
        return LaunchPlan(processes=(process,), start_timeout_s=self._options.start_timeout_s)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Text completions."""
        return Dialect(codecs=(self._options.codec,), ignore_eos=True)

    def tokenizer(self) -> Tokenizer | None:
        """By option."""
        return Words() if self._options.words else None

    def version(self, server: ServerClient) -> str | None:
        """The server's response."""
        return server.get("/version").text

    def quiescent(self, server: ServerClient) -> bool | None:
        """No requests in flight."""
        return parse_metrics(server.get("/metrics").text).sum("scripted_running") == 0

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """From the server's metrics page."""
        page = merge_pages(pages)
        return Counters(
            prompt_tokens=page.sum("scripted_prompt_tokens_total"),
            generated_tokens=page.sum("scripted_generated_tokens_total"),
            cached_prompt_tokens=page.sum("scripted_cached_prompt_tokens_total"),
        )


class Wrapping(Scripted):
    """An orchestrator that runs the worker of another engine."""

    def __init__(self, options: ScriptedOptions, context: PluginContext) -> None:
        super().__init__(options)
        self._context = context

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The worker's process with an added flag."""
        worker = self._context.engine("scripted").worker(request, "server")
        flags = worker.flags.updated({"--itl-s": 0.004})
        return LaunchPlan(processes=(attrs.evolve(worker, flags=flags),))


class Lines(Codec):
    """The scripted server's own protocol: JSON lines."""

    name = "scripted-lines"
    framing = "lines"
    ends_with_done = False

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        """Text and a number of tokens."""
        assert isinstance(turn.prompt, TextPrompt)
        body = {"text": turn.prompt.text, "tokens": turn.max_tokens}
        return HttpRequest(path="/lines", body=json.dumps(body).encode())

    def classify(self, event: bytes) -> StreamEvent:
        """A word, or the token counts at the end."""
        _chatter()
        data = json.loads(event)
        if "word" in data:
            return StreamEvent(token=True, n_tokens=1, text=data["word"])
        return StreamEvent(n_in=data["in"], n_out=data["out"], done=True)


@hookimpl
def bench_register_codecs():  # noqa: ANN201
    """The codec."""
    return [CodecSpec(name=Lines.name, summary="JSON lines", factory=lambda *_: Lines())]


@hookimpl
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """A slower server if the test sets TOKENBENCH_TEST_AMEND."""
    if request.engine != "scripted" or not os.environ.get("TOKENBENCH_TEST_AMEND"):
        return None
    slower = FrozenMap({"server": FrozenMap({"--itl-s": 0.05})})
    return Amendment(reason="the test wants it slower", flags=slower)


@hookimpl
def bench_register_engines():  # noqa: ANN201
    """The engine."""
    return [
        EngineSpec(
            name="scripted",
            summary="a server that misbehaves on demand",
            options=ScriptedOptions,
            factory=lambda options, _: Scripted(options),
            capabilities=EngineCapabilities(counters=True),
        ),
        EngineSpec(
            name="wrapping",
            summary="wraps the worker of another engine",
            options=ScriptedOptions,
            factory=Wrapping,
            capabilities=EngineCapabilities(counters=True),
        ),
        EngineSpec(
            name="accelerated",
            summary="runs on accelerators only, whichever",
            options=ScriptedOptions,
            factory=lambda options, _: Scripted(options),
            capabilities=EngineCapabilities(needs_accelerators=True),
        ),
    ]


def _model(name: str, source: str, **facts: int) -> ModelSpec:
    weights = Weights(precision="q4", format="gguf", source=source, revision="1", **facts)
    return ModelSpec(name=name, summary=name, weights=(weights,))


@hookimpl
def bench_register_models():  # noqa: ANN201
    """Weights that are missing, truncated or damaged. The test names the file."""
    file = os.environ.get("TOKENBENCH_TEST_WEIGHTS", "/nonexistent")
    return [
        _model("absent-package", "package:no-such-package-anywhere/x.gguf"),
        _model("absent-file", "file:/nonexistent/x.gguf"),
        _model("short-file", f"file:{file}", size_bytes=123_456_789),
        _model("damaged-file", f"file:{file}"),
    ]


@hookimpl
def bench_run_started(event: object) -> None:
    """An observer that fails if the test sets TOKENBENCH_TEST_OBSERVER."""
    if os.environ.get("TOKENBENCH_TEST_OBSERVER"):
        raise RuntimeError("observer failed on purpose")
