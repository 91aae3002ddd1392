"""Refuses plans that do not fit the chip, and shows the calculation."""

from __future__ import annotations

import math

from tokenbench.api import (
    EngineRequest,
    UsageError,
    check_memory,
    check_precision,
    required_context,
    sequence_bytes,
)

from .options import VllmOptions
from .parallel import Ranks

_GIB = 1 << 30
UTILIZATION = 0.92
"""Default of ``--gpu-memory-utilization`` (vLLM 0.32, config/cache.py)."""


def check_chip(request: EngineRequest, options: VllmOptions, ranks: Ranks) -> None:
    """Check precision and memory, as far as the facts are known.

    Raises:
        UsageError: the chip does not compute in the precision, or the model does not fit.
    """
    hint = "fp4_weight_only=true to dequantize them in each operation"
    check_precision(request, hint=hint, accepted=options.fp4_weight_only)
    context = required_context(request, options.context_tokens)
    _check_cache(request, options, ranks, context)
    check_memory(
        request,
        ranks=ranks.count,
        replicated=ranks.dp,
        share=options.gpu_memory_utilization or UTILIZATION,
        context=context,
        kv_dtype=options.kv_cache_dtype,
    )


def _check_cache(
    request: EngineRequest, options: VllmOptions, ranks: Ranks, context: int | None
) -> None:
    """Check that a KV cache of the given size holds one sequence. This is a lower bound, as for the
    chip's memory.
    """
    if options.kv_cache_gib is None or context is None:
        return
    needed = sequence_bytes(request.architecture, context, options.kv_cache_dtype)
    shared = ranks.count // ranks.dp
    have = options.kv_cache_gib * shared
    if needed is not None and have * _GIB < needed:
        raise UsageError(
            f"kv_cache_gib={options.kv_cache_gib}: one sequence of {context:,} tokens needs "
            f"{needed / _GIB:,.1f} GiB, and {shared} ranks have {have} GiB",
            hint=f"use at least {math.ceil(needed / shared / _GIB)}, or a shorter context",
        )
