"""Registers the workload `trace`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options

from .presets import PRESETS, apply

FORMATS = ("auto", "mooncake", "azure", "burstgpt", "weka")


@options
class TraceOptions:
    """Options of the workload."""

    preset: str = option(
        default="none",
        choices=("none", *PRESETS),
        help="options of a published protocol; agentx: the agentic traces of InferenceX",
    )
    file: str = option(
        default="",
        identity=False,
        help="the trace, a file or a folder of files; its hash is part of a point's identity; "
        "default: a small generated one",
    )
    format: str = option(
        default="auto", choices=FORMATS, help="format of the file; auto: by its first line"
    )
    without_output: str = option(
        default="skip",
        choices=("skip", "one"),
        help="requests with 0 output tokens, most of which failed: skip them, or request one token",
    )
    most_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="skip requests with more tokens (prompt and answer together); default: none",
    )
    idle_cap_s: float = option(
        default=60.0,
        minimum=0.0,
        unit="s",
        help="maximum pause between two requests of a session (weka)",
    )
    join: str = option(
        default="recorded",
        choices=("recorded", "next"),
        help="request of the main agent that waits for a sub-agent (weka): recorded (the first "
        "after its recorded end) or next (the next one)",
    )
    begin_least: float = option(
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        help="load.begin_inside: earliest start of the first sessions, as a share of the main "
        "agent's requests",
    )
    begin_most: float = option(
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        help="load.begin_inside: latest start, as a share of the main agent's requests",
    )

    def __attrs_post_init__(self) -> None:
        apply(self, self.preset)
        if self.begin_least > self.begin_most:
            raise ValueError(
                f"begin_least: expected at most begin_most ({self.begin_most:g}), "
                f"got {self.begin_least:g}"
            )


def _make(options: TraceOptions, context: PluginContext) -> Workload:
    from .workload import TraceWorkload

    return TraceWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="trace",
            summary="traces of real traffic: Mooncake, Azure, BurstGPT, Weka",
            options=TraceOptions,
            factory=_make,
            multi_turn=True,
        )
    ]
