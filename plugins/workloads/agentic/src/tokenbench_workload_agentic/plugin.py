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
    turns: int = option(default=20, minimum=1, help="mean number of turns of the main agent")
    answer_tokens: int = option(
        default=256, minimum=1, unit="tokens", help="mean length of a turn's answer"
    )
    tool_tokens: int = option(
        default=768, minimum=1, unit="tokens", help="mean length of a tool's result"
    )
    spread: float = option(
        default=0.5,
        minimum=0.0,
        maximum=1.0,
        help="means vary: values are uniform in [1 - spread, 1 + spread] x mean",
    )
    tool_s: float = option(
        default=2.0, minimum=0.0, unit="s", help="mean duration of a tool, exponential"
    )
    idle_cap_s: float = option(
        default=60.0, minimum=0.0, unit="s", help="maximum duration of a tool"
    )
    forks: int = option(
        default=1,
        minimum=0,
        help="how often the main agent starts sub-agents and waits for all of them",
    )
    subagents: int = option(default=2, minimum=1, help="sub-agents started at each fork")
    subagent_turns: int = option(default=4, minimum=1, help="mean number of turns of a sub-agent")
    background: int = option(
        default=0, minimum=0, help="background sub-agents, which no turn waits for"
    )
    salt: str = option(
        default="none",
        choices=("none", "session"),
        help="session: each session has its own system prompt, so that sessions share nothing",
    )
    limit_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="context length at which the main agent compacts its history; default: the server's, "
        "if known",
    )
    overflow: str = option(
        default="compact",
        choices=("compact", "send"),
        help="what happens to a context over the limit: compact it, or send it unchanged, which "
        "counts as an overflow",
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
