"""Makes an installed plugin the subject of checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenbench.guard.call import call
from tokenbench.plugins.kinds import BY_NAME
from tokenbench.plugins.registry import PluginRegistry, owner_of
from tokenbench.suite.options import build_options

from .kit import Subject


def subject_of(
    kind: str, name: str, given: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> Subject:
    """An installed plugin as a subject.

    Raises:
        UsageError: the name is unknown, or its options are invalid.
        PluginError: the plugin is broken.
    """
    registry = PluginRegistry()
    candidate = registry.candidate(kind, name)
    spec = registry.spec(kind, name)
    # For amendments and observers, `spec` is the module: a global `options` is not their options.
    options = getattr(spec, "options", None) if BY_NAME[kind].spec_name else None
    return Subject(
        kind=kind,
        name=candidate.name,
        module=candidate.module,
        distribution=candidate.distribution,
        spec=spec,
        options=call(
            owner_of(candidate),
            "its options",
            "options",
            lambda: build_options(options, given, where=f"{kind} {name}"),
        )
        if options
        else None,
        given=dict(given),
        data=dict(data or {}),
    )
