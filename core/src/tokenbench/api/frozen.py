"""Immutable, hashable data for the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Union

V_co = TypeVar("V_co", covariant=True)
W = TypeVar("W")


class FrozenMap(Mapping[str, V_co]):
    """A mapping that keeps its order, cannot change and can be hashed.

    Equality ignores the order, as for other mappings. Hashing needs hashable values.
    """

    __slots__ = ("_items",)
    _items: dict[str, V_co]

    def __init__(self, items: Mapping[str, V_co] | None = None, /, **more: V_co) -> None:
        object.__setattr__(self, "_items", {**(items or {}), **more})

    def __getitem__(self, key: str) -> V_co:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"FrozenMap is immutable; cannot set {name!r}")

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (FrozenMap, (self._items,))

    def updated(self, other: Mapping[str, W]) -> FrozenMap[V_co | W]:
        """A new map with the entries of `other` added or replaced; replaced keys keep their
        position.
        """
        return FrozenMap({**self._items, **other})


JsonScalar = str | int | float | bool | None
JsonValue = Union[JsonScalar, "tuple[JsonValue, ...]", "FrozenMap[JsonValue]"]


def freeze(value: Any) -> Any:
    """JSON data as immutable, hashable data: objects as `FrozenMap`, lists as tuples."""
    if isinstance(value, Mapping):
        return FrozenMap({str(key): freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(freeze, value))
    return value
