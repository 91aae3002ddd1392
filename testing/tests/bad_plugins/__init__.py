"""Good plugins, and for every check of the kit one that fails it.

Each module has ``GOOD``, a list of subjects that pass all checks; ``BAD``, check name to a subject,
or several, that fail this check; and ``ALSO``, check name to other checks that the same subject
cannot pass.
``LEVELS``, if present, limits the levels to run: the subjects of `package` are not working plugins.
``REAL``, if present, is like ``BAD`` for checks of level 4.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from tokenbench.api import PluginContext


def modules() -> Iterator[ModuleType]:
    """All modules of this package."""
    for found in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{found.name}")


def factory_of(cls: type[Any]) -> Callable[[Any, PluginContext], Any]:
    """A factory of a class that takes options alone. It can be pickled, for other processes."""
    return functools.partial(_make, cls)


def _make(cls: type[Any], options: Any, context: PluginContext) -> Any:
    return cls(options)
