"""Good plugins, and for every check of the kit one that fails it.

Each module has ``GOOD``, a list of subjects that pass all checks; ``BAD``, check name to a subject
that fails this check; and ``ALSO``, check name to other checks that the same subject cannot pass.
``LEVELS``, if present, limits the levels to run: the subjects of `package` are not working plugins.
``REAL``, if present, is like ``BAD`` for checks of level 4.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


def modules() -> Iterator[ModuleType]:
    """All modules of this package."""
    for found in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{found.name}")
