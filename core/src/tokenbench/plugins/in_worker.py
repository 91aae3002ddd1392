"""Creates plugin objects in worker processes, which import the plugin's module only."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from tokenbench.api import PluginContext, PluginError
from tokenbench.guard.call import call
from tokenbench.guard.members import limited
from tokenbench.guard.owner import Owner
from tokenbench.suite.options import build_options

from .kinds import BY_NAME

P = TypeVar("P")


def make(owner: Owner, module: str, options: Mapping[str, Any], base: type[P]) -> P:
    """The object of the plugin `owner`, whose hook module is `module`.

    Raises:
        PluginError: the plugin failed, or does not exist.
    """
    hook = BY_NAME[owner.kind].hook
    assert hook is not None
    found = call(owner, "its import", "import", lambda: importlib.import_module(module))
    for spec in call(owner, f"{hook}()", "register", lambda: list(getattr(found, hook)())):
        if getattr(spec, "name", None) == owner.name:
            return _made(owner, spec, options, base)
    raise PluginError(
        f"{module} registers no {owner.kind} {owner.name!r}", hint="reinstall the plugin"
    )


def _made(owner: Owner, spec: Any, options: Mapping[str, Any], base: type[P]) -> P:
    where = f"{owner.kind} {owner.name}"
    given = call(
        owner, "its options", "options", lambda: build_options(spec.options, options, where=where)
    )
    made: P = call(
        owner, "its factory", "factory", lambda: spec.factory(given, PluginContext()), result=base
    )
    return limited(made, base, owner)
