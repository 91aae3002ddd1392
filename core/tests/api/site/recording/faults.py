"""Faults on demand: the environment variable ``RECORDING_FAULT`` is ``MEMBER=HOW``.

``MEMBER=HOW@N`` begins with the N-th call of that member in a process. HOW is ``raise``, ``exit``,
``interrupt``, ``hang``, ``stubborn`` (hangs, and swallows what is raised meanwhile), ``print`` or
``nonsense``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

FAULT = "RECORDING_FAULT"
NOISE = "noise of the plugin"


class Nonsense:
    """What no member should return."""


def _misbehave(how: str) -> None:
    if how == "raise":
        raise RuntimeError("failed on purpose")
    if how == "exit":
        sys.exit(7)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "hang":
        while True:
            time.sleep(0.05)
    while how == "stubborn":
        with contextlib.suppress(BaseException):
            time.sleep(0.05)
    if how == "print":
        print(NOISE)


def _faulty(function: Callable[..., Any], how: str, first: int) -> Callable[..., Any]:
    calls = 0

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < first:
            return function(*args, **kwargs)
        _misbehave(how)
        return Nonsense() if how == "nonsense" else function(*args, **kwargs)

    return call


def install(
    names: dict[str, Any], classes: dict[str, type[Any]], *, elsewhere: Collection[str] = ()
) -> None:
    """Put the fault, if there is one, into a hook of `names` or a member of `classes`.

    `elsewhere`: classes of the plugin that are in other modules.
    """
    member, _, how = os.environ.get(FAULT, "").partition("=")
    if member.partition(".")[0] in elsewhere:
        return
    how, _, number = how.partition("@")
    first = int(number or 1)
    if member == "import":
        _misbehave(how)
    elif member in names:
        names[member] = _faulty(names[member], how, first)
    elif member:
        base, _, name = member.partition(".")
        value = inspect.getattr_static(classes[base], name)
        if isinstance(value, property):
            assert value.fget is not None
            setattr(classes[base], name, property(_faulty(value.fget, how, first)))
        else:
            setattr(classes[base], name, _faulty(value, how, first))
