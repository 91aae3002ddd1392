"""Sound plugins, and for every check of the kit one that it must fail.

Each module has ``GOOD``, a list of subjects that no check refuses; ``BAD``, check name to a subject
that this check refuses; and ``ALSO``, check name to the names of other checks that cannot but
fail the same subject. ``LEVELS``, where it stands, limits what its subjects are run through:
those of `package` exist on disk and hold no working plugin. ``REAL``, where it stands, is like
``BAD`` for checks of level 4.
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
