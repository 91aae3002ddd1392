"""Plugins for tests: an engine on a scripted server, models with missing or damaged weights."""

from __future__ import annotations

import os
import sys

from tokenbench.api import (
    COMPLETIONS,
    Counters,
    Dialect,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    LaunchPlan,
    ModelSpec,
    ProcessSpec,
    Server,
    Weights,
    hookimpl,
    option,
    options,
    parse_prometheus,
)


@options
class ScriptedOptions:
    """Options of the scripted engine."""

    script: str = option(default="", help="options of tokenbench.testing.server, spaces between")
    start_timeout_s: float = option(default=20.0, help="time limit of the start", unit="s")
    dies: bool = option(default=False, help="the process ends at once")


class Scripted(Engine):
    """Starts a scripted server."""

    def __init__(self, options: ScriptedOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process."""
        argv = (sys.executable, "-m", "tokenbench.testing.server", "--port", "{port:http}")
        if self._options.dies:
            argv = ("sh", "-c", "echo out of memory, says the engine; exit 3")
        process = ProcessSpec(argv=(*argv, *self._options.script.split()))
        return LaunchPlan(processes=(process,), start_timeout_s=self._options.start_timeout_s)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Text completions."""
        return Dialect(wires=(COMPLETIONS,), ignore_eos=True)

    def version(self, server: Server) -> str | None:
        """As the server says."""
        return server.get("/version").text

    def quiescent(self, server: Server) -> bool | None:
        """Nothing running."""
        return parse_prometheus(server.get("/metrics").text)["scripted_running"] == 0

    def counters(self, text: str) -> Counters:
        """Its own two counters."""
        page = parse_prometheus(text)
        return Counters(
            prompt_tokens=page.get("scripted_prompt_tokens_total"),
            generated_tokens=page.get("scripted_generated_tokens_total"),
        )


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
        )
    ]


def _model(name: str, source: str, **facts: int) -> ModelSpec:
    weights = Weights(precision="q4", format="gguf", source=source, revision="1", **facts)
    return ModelSpec(name=name, summary=name, weights=(weights,))


@hookimpl
def bench_register_models():  # noqa: ANN201
    """Weights that are missing, cut, or damaged. The file is named by the test."""
    file = os.environ.get("TOKENBENCH_TEST_WEIGHTS", "/nonexistent")
    return [
        _model("absent-package", "package:no-such-package-anywhere/x.gguf"),
        _model("absent-file", "file:/nonexistent/x.gguf"),
        _model("short-file", f"file:{file}", size_bytes=123_456_789),
        _model("damaged-file", f"file:{file}"),
    ]


@hookimpl
def bench_run_started(event: object) -> None:
    """An observer that fails where the test asks for it."""
    if os.environ.get("TOKENBENCH_TEST_OBSERVER"):
        raise RuntimeError("observer failed on purpose")
