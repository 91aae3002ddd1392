"""Test plugin: an engine whose process has ranks on several hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import (
    COMPLETIONS,
    Counters,
    Dialect,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    MetricsPage,
    ProcessSpec,
    ServerClient,
    hookimpl,
    merge_pages,
    option,
    options,
    parse_metrics,
)

PROGRAM = Path(__file__).resolve().parents[1] / "two_hosts/ranked.py"


@options
class RankedOptions:
    """Options of the engine."""

    ranks: int = option(default=2, minimum=1, help="ranks of the server")
    load_s: float = option(default=0.0, unit="s", help="how long it loads")
    stop_s: float = option(default=0.0, unit="s", help="how long it takes to end")
    start_timeout_s: float = option(default=30.0, unit="s", help="time limit of the start")


class Ranked(Engine):
    """Starts `two_hosts/ranked.py`, which needs nothing on the hosts but Python."""

    def __init__(self, options: RankedOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process with ranks."""
        flags: dict[str, str | float] = {
            "--rank": "{rank}",
            "--ranks": self._options.ranks,
            "--leader": "{leader.host}",
            "--sync": "{leader.port:sync}",
            "--host": "{host}",
            "--port": "{port:http}",
            "--load-s": self._options.load_s,
            "--stop-s": self._options.stop_s,
        }
        process = ProcessSpec(
            argv=("python3", "{file:ranked.py}"),
            flags=FrozenMap(flags),
            files=(FileSpec(name="ranked.py", content=PROGRAM.read_text()),),
            ports=("http", "sync"),
            ranks=self._options.ranks,
        )
        return LaunchPlan(processes=(process,), start_timeout_s=self._options.start_timeout_s)

    def dialect(self, request: EngineRequest) -> Dialect:
        """Text completions."""
        return Dialect(codecs=(COMPLETIONS,), ignore_eos=True)

    def version(self, server: ServerClient) -> str | None:
        """The server's response."""
        return server.get("/version").text

    def quiescent(self, server: ServerClient) -> bool | None:
        """No requests in flight."""
        return parse_metrics(server.get("/metrics").text).sum("ranked_running") == 0

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """From the server's metrics page."""
        page = merge_pages(pages)
        return Counters(
            prompt_tokens=page.sum("ranked_prompt_tokens"),
            generated_tokens=page.sum("ranked_generated_tokens"),
        )


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="ranked",
            summary="a server with ranks on several hosts",
            options=RankedOptions,
            factory=lambda options, context: Ranked(options),
            capabilities=EngineCapabilities(hardware=("cpu",), counters=True),
        )
    ]
