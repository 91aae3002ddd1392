"""What a spec declares, as plain data for lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

# Fields that are not capabilities: names, factories, and what is shown elsewhere.
_OTHER = frozenset({"name", "summary", "factory", "parts", "options", "tokenizer", "capabilities"})


def capabilities_of(spec: Any) -> dict[str, Any]:
    """Declared fields that differ from their defaults, by name. For models: their precisions."""
    if not attrs.has(type(spec)):
        return {}
    if hasattr(spec, "weights"):  # Of a model with a factory they are known once it has options.
        if spec.factory is not None:
            return {}
        return {"precisions": [f"{w.precision} ({w.format})" for w in spec.weights]}
    return {**_differing(getattr(spec, "capabilities", None)), **_differing(spec)}


def _differing(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    found = {}
    for field in attrs.fields(type(value)):
        declared = getattr(value, field.name)
        if field.name not in _OTHER and declared != field.default:
            found[field.name] = _plain(declared)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if attrs.has(type(value)):
        return _differing(value)
    return list(value) if isinstance(value, tuple) else value
