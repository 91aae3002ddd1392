"""Registers the workload `random`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options

PRESETS = {"chat": (1024, 1024), "reasoning": (1024, 8192), "summarisation": (8192, 1024)}
"""Prompt and answer lengths of the InferenceX protocol's three kinds of traffic."""
_DEFAULT = 1024


@options
class RandomOptions:
    """Options of the workload."""

    preset: str = option(
        default="none",
        choices=("none", *PRESETS),
        help="lengths of a kind of traffic: chat (1024 in, 1024 out), reasoning (1024, 8192), "
        "summarisation (8192, 1024)",
    )
    input_tokens: int = option(
        default=_DEFAULT, minimum=1, unit="tokens", help="maximum length of a prompt, L"
    )
    output_tokens: int = option(
        default=_DEFAULT, minimum=1, unit="tokens", help="maximum length of an answer, L"
    )
    input_range: float = option(
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        help="prompt lengths are uniform integers in [range x L, L]",
    )
    output_range: float = option(
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        help="answer lengths are uniform integers in [range x L, L]",
    )
    prefix_tokens: int = option(
        default=0, minimum=0, unit="tokens", help="length of the prefix common to all prompts"
    )
    format: str = option(
        default="auto",
        choices=("auto", "tokens", "text", "chat"),
        help="format of prompts; auto: token ids if the server accepts them",
    )

    def __attrs_post_init__(self) -> None:
        if self.preset == "none":
            return
        lengths = dict(zip(("input_tokens", "output_tokens"), PRESETS[self.preset], strict=True))
        for name, tokens in lengths.items():
            if getattr(self, name) not in (_DEFAULT, tokens):
                raise ValueError(
                    f"{name}: the preset {self.preset} has {tokens}; remove one of them"
                )
            object.__setattr__(self, name, tokens)


def _make(options: RandomOptions, context: PluginContext) -> Workload:
    from .workload import RandomWorkload

    return RandomWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="random",
            summary="random prompts of given lengths (the traffic of the InferenceX protocol)",
            options=RandomOptions,
            factory=_make,
        )
    ]
