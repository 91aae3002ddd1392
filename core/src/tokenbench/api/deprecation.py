"""How the API changes: what a minor version deprecates still works in it, and goes one minor later.

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
    """A name that goes. `value` is what it still gives; `instead` names what replaces it."""

    since: str
    gone_in: str
    instead: str
    value: Any


DEPRECATED: dict[str, Deprecated] = {}
"""Names that `tokenbench.api` still has; none in 0.1."""


def deprecated_name(name: str, table: Mapping[str, Deprecated]) -> Any:
    """The value of a deprecated name, with a warning.

    Raises:
        AttributeError: there never was one, or it is gone.
    """
    found = table.get(name)
    if found is None:
        raise AttributeError(f"tokenbench.api has no {name!r}", name=name)
    warnings.warn(
        f"tokenbench.api.{name} is deprecated since API {found.since} and gone in "
        f"{found.gone_in}: use {found.instead}",
        DeprecationWarning,
        stacklevel=3,
    )
    return found.value
