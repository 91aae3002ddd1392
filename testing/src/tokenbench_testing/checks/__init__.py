"""The checks, one module per kind or part. Every module here is loaded."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import every module of this package, which registers its checks."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
