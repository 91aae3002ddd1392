"""Registers the engine `llamacpp`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Engine,
    EngineCapabilities,
    EngineContext,
    EngineSpec,
    hookimpl,
    option,
    options,
)


@options
class LlamaCppOptions:
    """Options of the engine; what is not set follows from the plan."""

    slots: int | None = option(
        default=None,
        minimum=1,
        help="sequences decoded in parallel; by default the largest concurrency of the plan",
    )
    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="context of one slot; by default what the workloads need",
    )
    threads: int | None = option(
        default=None, minimum=1, help="compute threads; by default the cores given to the server"
    )
    batch_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="largest batch of prompt tokens"
    )
    prefix_caching: bool = option(
        default=False, help="reuse the computed prefix of earlier prompts (off: every prompt anew)"
    )
    chat_template_file: str | None = option(
        default=None, help="file with a chat template to use instead of the model's own"
    )
    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter that has xllamacpp; by default the one that runs bench",
    )
    start_timeout_s: float = option(
        default=120.0, minimum=1, unit="s", identity=False, help="time limit of the start"
    )


def _make(options: LlamaCppOptions, context: EngineContext) -> Engine:
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
            capabilities=EngineCapabilities(
                weight_formats=("gguf",), hardware=("cpu",), counters=True, reset_cache=True
            ),
        )
    ]
