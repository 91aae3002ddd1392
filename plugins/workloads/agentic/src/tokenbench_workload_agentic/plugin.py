"""Registers the workload `agentic`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options


@options
class AgenticOptions:
    """Options of the workload."""

    system_tokens: int = option(
        default=4096, minimum=1, unit="tokens", help="system prompt and tools, in every session"
    )
    task_tokens: int = option(default=512, minimum=1, unit="tokens", help="the user's task")
    turns: int = option(default=20, minimum=1, help="turns of the main agent, on average")
    answer_tokens: int = option(
        default=256, minimum=1, unit="tokens", help="answer of a turn, on average"
    )
    tool_tokens: int = option(
        default=768, minimum=1, unit="tokens", help="result of a tool, on average"
    )
    spread: float = option(
        default=0.5,
        minimum=0.0,
        maximum=1.0,
        help="numbers that are said on average are uniform in [1 - spread, 1 + spread] times that",
    )
    tool_s: float = option(
        default=2.0, minimum=0.0, unit="s", help="time of a tool, exponential with this mean"
    )
    idle_cap_s: float = option(default=60.0, minimum=0.0, unit="s", help="longest time of a tool")
    forks: int = option(
        default=1, minimum=0, help="times that the main agent starts sub-agents and waits for all"
    )
    subagents: int = option(default=2, minimum=1, help="sub-agents that are started together")
    subagent_turns: int = option(default=4, minimum=1, help="turns of a sub-agent, on average")
    background: int = option(
        default=0, minimum=0, help="sub-agents in the background, for which nothing waits"
    )
    salt: str = option(
        default="none",
        choices=("none", "session"),
        help="session: each session has a system prompt of its own, so that sessions share nothing",
    )
    limit_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="context at which the main agent compacts its history; default: that of the server, "
        "where it is known",
    )
    overflow: str = option(
        default="compact",
        choices=("compact", "send"),
        help="what is done with a context over the limit: compact it, or send it all the same, "
        "which counts as an overflow",
    )


def _make(options: AgenticOptions, context: PluginContext) -> Workload:
    from .workload import AgenticWorkload

    return AgenticWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="agentic",
            summary="agents with a shared system prompt, growing context, tools and sub-agents",
            options=AgenticOptions,
            factory=_make,
            multi_turn=True,
            primes=True,
        )
    ]
