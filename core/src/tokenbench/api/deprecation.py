"""Deprecation: a name deprecated in a minor version keeps working in it, and is removed in the
next.

A deprecated name stays importable from `tokenbench.api` and warns; ``bench plugins list --check``
shows the warning in the plugin's row. A hook is deprecated by its hookspec's ``warn_on_impl``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Deprecated:
    """A deprecated name. `value` is what it resolves to, `instead` the name that replaces it."""

    since: str
    removed_in: str
    instead: str
    value: Any


DEPRECATED: dict[str, Deprecated] = {}
"""Deprecated names of `tokenbench.api`; none in 0.1."""


def deprecated_name(name: str, table: Mapping[str, Deprecated]) -> Any:
    """The value of a deprecated name, with a warning.

    Raises:
        AttributeError: the name never existed, or it was removed.
    """
    found = table.get(name)
    if found is None:
        raise AttributeError(f"tokenbench.api has no {name!r}", name=name)
    warnings.warn(
        f"tokenbench.api.{name} is deprecated since API {found.since} and will be removed in "
        f"{found.removed_in}: use {found.instead}",
        DeprecationWarning,
        stacklevel=3,
    )
    return found.value
