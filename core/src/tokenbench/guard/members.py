"""Plugin objects whose members have time limits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs

from tokenbench.api import (
    Codec,
    Engine,
    Eval,
    Hardware,
    Launcher,
    Reporter,
    Session,
    Tokenizer,
    Workload,
)

from .call import call, items
from .owner import Owner
from .types import is_iterable, returns

P = TypeVar("P")
_NO_ANSWER = (ConnectionError,)


@attrs.frozen
class Member:
    """How a member is called: its kind of limit, and exceptions that have a meaning."""

    limit: str
    meant: tuple[type[BaseException], ...] = ()


MEMBERS: dict[type[Any], dict[str, Member]] = {
    Engine: {
        "plan": Member("pure"),
        "worker": Member("pure", (KeyError,)),
        "dialect": Member("pure"),
        "negotiation": Member("pure"),
        "synthetic_acceptance": Member("pure"),
        "planned_version": Member("data"),
        "tokenizer": Member("data"),
        "ready": Member("server", _NO_ANSWER),
        "version": Member("server", _NO_ANSWER),
        "facts": Member("server", _NO_ANSWER),
        "reset_cache": Member("server", _NO_ANSWER),
        "quiescent": Member("server", _NO_ANSWER),
        "counters": Member("pure"),
        "diagnose": Member("pure"),
        "phase": Member("pure"),
    },
    Hardware: {
        "catalogue": Member("pure"),
        "settings": Member("pure"),
        "program": Member("pure"),
    },
    Workload: {
        "context_tokens": Member("data"),
        "dataset_hash": Member("data"),
        "sessions": Member("data"),
        "arrivals_s": Member("data"),
        "priming": Member("data"),
    },
    Tokenizer: {
        "vocab_size": Member("data"),
        "special_ids": Member("data"),
        "encode": Member("pure"),
        "decode": Member("pure"),
    },
    Eval: {
        "needs": Member("pure"),
        "questions": Member("questions"),
        "ask": Member("ask"),
        "score": Member("score"),
    },
    Reporter: {"render": Member("render")},
    Launcher: {
        "allocate": Member("allocate"),
        "channel": Member("pure"),
        "release": Member("stop"),
    },
    Codec: {"encode": Member("pure"), "classify": Member("pure", (ValueError,))},
}
# Members that may be generators, and what core reads them as.
_STREAMS: dict[str, Callable[[Any], Any]] = {"sessions": iter, "priming": iter, "render": list}
# Results that are plugin objects themselves.
_OBJECTS: dict[Any, type[Any]] = {
    Tokenizer: Tokenizer,
    Tokenizer | None: Tokenizer,
}


class _Limited:
    """Wraps a plugin object. Pickling gives the object itself: sessions may hold a tokenizer."""

    def __init__(self, target: Any, base: type[Any], owner: Owner, server_times: float) -> None:
        self._target = target
        self._base: Any = base
        self._server_times = server_times
        self.tokenbench_owner = owner

    def __getattr__(self, name: str) -> Any:
        target, base = self._target, self._base
        member = MEMBERS[base].get(name)
        if member is None:
            return getattr(target, name)
        if isinstance(vars(base)[name], property):
            return self._call(member, name, name, lambda: getattr(target, name))
        return functools.partial(self._call_method, member, name)

    def _call_method(self, member: Member, name: str, *args: Any, **kwargs: Any) -> Any:
        def function() -> Any:
            result = getattr(self._target, name)(*args, **kwargs)
            if name not in _STREAMS or not is_iterable(result):
                return result
            # A generator runs while it is read.
            return _STREAMS[name](result)

        return self._call(member, name, f"{name}()", function)

    def _call(self, member: Member, name: str, text: str, function: Callable[[], Any]) -> Any:
        hint = returns(self._base, name)
        expected = Any if hint is type(None) else hint
        found = call(
            self.tokenbench_owner,
            text,
            member.limit,
            function,
            result=expected,
            meant=member.meant,
            times=self._server_times if member.limit == "server" else 1.0,
        )
        if (base := _OBJECTS.get(hint)) is not None and found is not None:
            return limited(found, base, self.tokenbench_owner)
        if name in ("sessions", "priming"):
            return items(self.tokenbench_owner, text, "item", found, Session)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return (_itself, (self._target,))


def _itself(target: Any) -> Any:
    return target


def limited(target: P, base: type[P], owner: Owner, *, server_times: float = 1.0) -> P:
    """`target`, with a limit on each member that `base` declares.

    Args:
        server_times: factor of the limit of members that ask a server.
    """
    return target if owner.is_core else cast("P", _Limited(target, base, owner, server_times))


def owner_text(target: object) -> str | None:
    """As :func:`owner_of`, as text for another process."""
    owner = owner_of(target)
    return None if owner is None else str(owner)


def owner_of(target: object) -> Owner | None:
    """The plugin of an object that :func:`limited` returned; None for other objects."""
    return target.tokenbench_owner if isinstance(target, _Limited) else None
