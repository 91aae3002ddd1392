"""Checks values against type annotations of the API, including the fields of attrs classes."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import itertools
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

# Items of a container that are checked: a tokenizer returns thousands of ids.
_MOST_ITEMS = 50
_NUMBERS: dict[Any, type[Any]] = {int: numbers.Integral, float: numbers.Real}


@functools.cache
def returns(base: Any, name: str) -> Any:
    """The annotated result of a method or property of an API class."""
    member = inspect.getattr_static(base, name)
    function = member.fget if isinstance(member, property) else member
    return typing.get_type_hints(function)["return"]


@functools.cache
def _fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints.get(field.name, Any)) for field in attrs.fields(cls))


def mismatch(value: Any, hint: Any, path: str = "") -> str | None:
    """What is wrong with `value`, in words such as ``processes[0].argv: a str, expected tuple``;
    None if it fits. Lists are accepted for tuples, mappings for FrozenMap.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        problems = [mismatch(value, one, path) for one in arguments]
        return None if None in problems else _nearest(value, arguments, problems, path, hint)
    expected = origin or hint
    if expected is Any or isinstance(expected, typing.TypeVar):
        return None
    if not _is(value, expected):
        return f"{path}: {_article(value)}, expected {_name(hint)}".removeprefix(": ")
    cls: Any = type(value)
    if attrs.has(cls) and isinstance(expected, type) and attrs.has(expected):
        return _first(
            mismatch(getattr(value, name, None), field, f"{path}.{name}".removeprefix("."))
            for name, field in _fields(cls)
        )
    return _first(
        mismatch(item, kind, f"{path}[{key!r}]") for key, item, kind in _items(value, arguments)
    )


def _nearest(
    value: Any, arms: tuple[Any, ...], problems: list[str | None], path: str, hint: Any
) -> str | None:
    """Of a union, the problem of the arm whose class the value has."""
    for arm, problem in zip(arms, problems, strict=True):
        if _is(value, typing.get_origin(arm) or arm):
            return problem
    return f"{path}: {_article(value)}, expected {_name(hint)}".removeprefix(": ")


def _is(value: Any, expected: Any) -> bool:
    if expected is None or expected is type(None):
        return value is None
    if expected in _NUMBERS:
        return isinstance(value, _NUMBERS[expected]) and not isinstance(value, bool)
    if expected is tuple or expected is collections.abc.Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if expected in (collections.abc.Iterable, collections.abc.Iterator):
        return is_iterable(value)
    if expected is type:
        return isinstance(value, type)
    if expected is collections.abc.Callable:
        return callable(value)
    if isinstance(expected, type) and issubclass(expected, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, expected) if isinstance(expected, type) else True


def is_iterable(value: Any) -> bool:
    """Whether it has items, other than the characters of a text."""
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes)


def _items(value: Any, arguments: tuple[Any, ...]) -> typing.Iterator[tuple[Any, Any, Any]]:
    """Key, value and type of the first items of a container."""
    if isinstance(value, Mapping) and arguments:
        items = itertools.islice(value.items(), _MOST_ITEMS)
        yield from ((key, item, arguments[-1]) for key, item in items)
    elif isinstance(value, Sequence | frozenset | set) and not isinstance(value, str | bytes):
        kinds: typing.Iterable[Any] = itertools.repeat(arguments[0]) if arguments else ()
        if len(arguments) > 1 and arguments[1] is not ...:
            kinds = arguments
        pairs = zip(value, kinds, strict=False)
        for number, (item, kind) in enumerate(itertools.islice(pairs, _MOST_ITEMS)):
            yield number, item, kind


def _first(problems: typing.Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


def _article(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _name(hint: Any) -> str:
    arms = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_name(arm) for arm in arms)
    if hint is None or hint is type(None):
        return "None"
    plain = typing.get_origin(hint) or hint
    return str(getattr(plain, "__name__", plain))
