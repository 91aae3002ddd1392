"""Canonical JSON and hashes: a plan has the same identity on every machine."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs


def plain(value: Any) -> Any:
    """Frozen data as plain JSON data."""
    if attrs.has(type(value)):
        return {f.name: plain(getattr(value, f.name)) for f in attrs.fields(type(value))}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset):
        items = [plain(item) for item in value]
        return sorted(items) if isinstance(value, frozenset) else items
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise TypeError(f"expected plain data, got {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, ASCII only."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def derive_seed(base: int, *parts: str | int) -> int:
    """A 63-bit seed that depends on every part."""
    text = ":".join(str(part) for part in (base, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
