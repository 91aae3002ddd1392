"""Makes an installed plugin the subject of checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenbench.harness import installed

from .kit import Subject


def subject_of(
    kind: str, name: str, given: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> Subject:
    """An installed plugin as a subject.

    Raises:
        UsageError: its options are invalid.
        PluginError: there is no such plugin, or it is broken.
    """
    found = installed(kind, name, given)
    return Subject(
        kind=kind,
        name=found.name,
        module=found.module,
        distribution=found.distribution,
        spec=found.spec,
        options=found.options,
        given=dict(given),
        data=dict(data or {}),
    )
