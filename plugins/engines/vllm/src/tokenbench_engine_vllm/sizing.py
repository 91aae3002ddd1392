"""Refuses plans that cannot work on the chip, with the arithmetic."""

from __future__ import annotations

from tokenbench.api import EngineRequest, check_memory, check_precision, required_context

from .options import VllmOptions
from .parallel import Ranks

UTILIZATION = 0.92
"""Default of ``--gpu-memory-utilization`` (vLLM 0.32, config/cache.py)."""


def check_chip(request: EngineRequest, options: VllmOptions, ranks: Ranks) -> None:
    """Check precision and memory, as far as the facts are known.

    Raises:
        UsageError: the chip does not compute in the precision, or the model does not fit.
    """
    if not options.fp4_weight_only:
        check_precision(
            request, hint="fp4_weight_only=true to convert them back for each operation"
        )
    check_memory(
        request,
        ranks=ranks.count,
        replicated=ranks.dp,
        share=options.gpu_memory_utilization or UTILIZATION,
        context=required_context(request, options.context_tokens),
        kv_dtype=options.kv_cache_dtype,
    )
