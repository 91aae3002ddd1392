"""Registers the engine `llamacpp`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Engine,
    EngineCapabilities,
    EngineSpec,
    PluginContext,
    hookimpl,
    option,
    options,
)


@options
class LlamaCppOptions:
    """Options of the engine. Options without a value are derived from the plan."""

    slots: int | None = option(
        default=None,
        minimum=1,
        help="requests decoded in parallel; default: the largest concurrency of the plan",
    )
    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="context length of one slot; default: what the workloads need",
    )
    threads: int | None = option(
        default=None, minimum=1, help="compute threads; default: the cores of the server"
    )
    batch_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="maximum number of prompt tokens in a batch"
    )
    prefix_caching: bool = option(
        default=False, help="reuse prefixes of earlier prompts instead of computing them again"
    )
    embeddings: bool = option(
        default=False, help="serve embeddings instead of completions, pooled from the last token"
    )
    chat_template_file: str | None = option(
        default=None, help="file with a chat template that replaces the model's"
    )
    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with xllamacpp; default: the one that runs bench",
    )
    start_timeout_s: float = option(
        default=120.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )


CAPABILITIES = EngineCapabilities(
    weight_formats=("gguf",),
    hardware=("cpu",),
    counters=True,
    reset_cache=True,
    prefix_caching_off=True,
)


def _make(options: LlamaCppOptions, context: PluginContext) -> Engine:
    from .engine import LlamaCpp

    return LlamaCpp(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="llamacpp",
            summary="llama.cpp's server (PyPI package xllamacpp), on CPU",
            options=LlamaCppOptions,
            factory=_make,
            capabilities=CAPABILITIES,
        )
    ]
