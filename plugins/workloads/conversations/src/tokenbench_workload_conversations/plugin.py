"""Registers the workload `conversations`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options


@options
class ConversationsOptions:
    """Options of the workload."""

    file: str = option(
        default="",
        identity=False,
        help="your conversations, a JSON or JSON-lines file or a folder; its hash is part of "
        "a point's identity; default: a small generated sample",
    )
    form: str = option(
        default="auto",
        choices=("auto", "sharegpt", "wildchat", "openai"),
        help="form of the file; auto: by the keys of the first conversation",
    )
    answers: str = option(
        default="recorded",
        choices=("recorded", "live"),
        help="answers that later turns contain: recorded (from the file) or live (from the server)",
    )
    output_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="output limit; default: the length of the recorded answer",
    )
    think_s: float = option(
        default=0.0, minimum=0.0, unit="s", help="mean pause before a later turn, exponential"
    )
    think_cap_s: float = option(default=60.0, minimum=0.0, unit="s", help="longest pause")
    most_turns: int = option(default=100, minimum=1, help="maximum turns sent of a conversation")
    salt: str = option(
        default="none",
        choices=("none", "repeat", "session"),
        help="prevent cache hits from earlier requests by a random word before the first message: "
        "new in each repeat, or in each session",
    )


def _make(options: ConversationsOptions, context: PluginContext) -> Workload:
    from .workload import ConversationsWorkload

    return ConversationsWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="conversations",
            summary="your conversations: ShareGPT, WildChat or OpenAI messages, JSON or JSON lines",
            options=ConversationsOptions,
            factory=_make,
            multi_turn=True,
        )
    ]
