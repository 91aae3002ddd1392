"""Registers the Kimi models: data only."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import ModelSpec, hookimpl

from .models import MODELS


@hookimpl
def bench_register_models() -> Sequence[ModelSpec]:
    """The models of the family."""
    return MODELS
