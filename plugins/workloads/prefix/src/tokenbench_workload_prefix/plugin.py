"""Registers the workload `prefix`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options


@options
class PrefixOptions:
    """Options of the workload."""

    groups: int = option(
        default=8, minimum=1, help="number of groups; prompts of a group share a prefix"
    )
    prompts: int = option(
        default=16, minimum=1, help="prompts of a group before the next one, with order=grouped"
    )
    prefix_tokens: int = option(default=1024, minimum=1, unit="tokens", help="length of a prefix")
    suffix_tokens: int = option(
        default=128,
        minimum=1,
        unit="tokens",
        help="length of the rest of a prompt, which is always new",
    )
    output_tokens: int = option(default=128, minimum=1, unit="tokens", help="length of an answer")
    order: str = option(
        default="mixed",
        choices=("mixed", "grouped"),
        help="mixed: each prompt has a random group; grouped: one group after the other",
    )
    zipf: float = option(
        default=0.0,
        minimum=0.0,
        maximum=10.0,
        help="order=mixed: the probability of group n is proportional to 1 / n ** zipf; 0: uniform",
    )

    def __attrs_post_init__(self) -> None:
        if self.zipf and self.order == "grouped":
            raise ValueError("zipf needs order=mixed")


def _make(options: PrefixOptions, context: PluginContext) -> Workload:
    from .workload import PrefixWorkload

    return PrefixWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="prefix",
            summary="prompts that share prefixes in groups, mixed or one group after the other",
            options=PrefixOptions,
            factory=_make,
            primes=True,
        )
    ]
