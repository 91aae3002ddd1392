"""Registers the workload `random`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Workload, WorkloadSpec, hookimpl, option, options


@options
class RandomOptions:
    """Options of the workload."""

    input_tokens: int = option(
        default=1024, minimum=1, unit="tokens", help="maximum length of a prompt, L"
    )
    output_tokens: int = option(
        default=1024, minimum=1, unit="tokens", help="maximum length of an answer, L"
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


def _make(options: RandomOptions) -> Workload:
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
            exact_lengths=True,
        )
    ]
