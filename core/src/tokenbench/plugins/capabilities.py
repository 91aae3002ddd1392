"""What a spec declares, as plain data for lists."""

from __future__ import annotations

from typing import Any

import attrs

# Not capabilities: what names a plugin, makes it, or is shown elsewhere.
_OTHER = frozenset({"name", "summary", "factory", "options", "tokenizer", "capabilities"})


def capabilities_of(spec: Any) -> dict[str, Any]:
    """Declared facts that differ from their defaults, by name. Models: their precisions."""
    if not attrs.has(type(spec)):
        return {}
    if hasattr(spec, "weights"):
        return {"precisions": [f"{w.precision} ({w.format})" for w in spec.weights]}
    return {**_differing(getattr(spec, "capabilities", None)), **_differing(spec)}


def _differing(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    found = {}
    for field in attrs.fields(type(value)):
        have = getattr(value, field.name)
        if field.name not in _OTHER and have != field.default:
            found[field.name] = list(have) if isinstance(have, tuple) else have
    return found
