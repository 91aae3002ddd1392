"""Registers the workload `embeddings`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Workload, WorkloadSpec, hookimpl, option, options


@options
class EmbeddingsOptions:
    """Options of the workload."""

    input_tokens: int = option(
        default=512, minimum=1, unit="tokens", help="maximum length of an input, L"
    )
    input_range: float = option(
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        help="lengths of inputs are uniform integers in [range x L, L]",
    )
    batch: int = option(default=1, minimum=1, maximum=2048, help="inputs in a request")


def _make(options: EmbeddingsOptions, context: PluginContext) -> Workload:
    from .workload import EmbeddingsWorkload

    return EmbeddingsWorkload(options)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="embeddings",
            summary="random texts to embed, one or several per request",
            options=EmbeddingsOptions,
            factory=_make,
        )
    ]
