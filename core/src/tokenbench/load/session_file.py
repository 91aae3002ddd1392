"""The file in which a phase's sessions travel to a load worker.

A session of one turn travels as the request it will be, encoded before the clock starts: the worker
reads a few bytes and sends them. Others travel pickled, because they run in the worker. All come in
the order in which they are to begin; memory on both sides does not grow with their number.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from tokenbench.api import Codec, Session, Target, Turn

from .records import ABSENT
from .request_state import Asked
from .session_state import SessionState
from .target_url import Route, TargetUrl, with_body

# kind, bytes that follow, route, asked_in, asked_out, exact, delay_s
_FRAME = struct.Struct("<cIHiiBd")
_ROUTE, _REQUEST, _SESSION = b"H", b"R", b"S"
_AHEAD = 4096


class PreparedRequest(msgspec.Struct, frozen=True, gc=False):
    """A session of one turn: the bytes to be sent `delay_s` after it begins."""

    http_bytes: bytes
    asked: Asked
    delay_s: float


Item = PreparedRequest | Session


def asked_of(turn: Turn) -> Asked:
    """What a turn asks for, as records hold it."""
    n_in = ABSENT if turn.n_in is None else int(turn.n_in)
    return (n_in, int(turn.max_tokens), bool(turn.exact_output))


def write_sessions(
    sessions: Iterable[Session], codec: Codec, target: Target, files: Iterable[Path]
) -> int:
    """Write sessions for load workers, session k for worker k modulo their number; returns how many
    there were.

    Raises:
        UsageError: a turn cannot be said in the codec's format.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        writers = [_Writer(stack.enter_context(file.open("wb"))) for file in files]
        for session in sessions:
            writers[count % len(writers)].write(session, codec, target)
            count += 1
    return count


class _Writer:
    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._routes: dict[Route, int] = {}

    def write(self, session: Session, codec: Codec, target: Target) -> None:
        if not session.one_turn:
            data = pickle.dumps(session, protocol=pickle.HIGHEST_PROTOCOL)
            self._frame(_SESSION, data)
            return
        turn = _only_turn(session)
        request = codec.encode(turn, target)
        n_in, n_out, exact = asked_of(turn)
        route = self._route((request.method, request.path, request.content_type))
        self._frame(_REQUEST, request.body, route, n_in, n_out, exact, turn.delay_s)

    def _route(self, key: Route) -> int:
        if key not in self._routes:
            self._routes[key] = len(self._routes)
            self._frame(_ROUTE, msgspec.msgpack.encode(key))
        return self._routes[key]

    def _frame(
        self,
        kind: bytes,
        data: bytes,
        route: int = 0,
        n_in: int = 0,
        n_out: int = 0,
        exact: bool = False,
        delay_s: float = 0.0,
    ) -> None:
        self._out.write(_FRAME.pack(kind, len(data), route, n_in, n_out, exact, delay_s))
        self._out.write(data)


def _only_turn(session: Session) -> Turn:
    turns: list[Turn] = []
    SessionState(0, session, lambda _run, _number, turn: turns.append(turn)).start()
    return turns[0]


def read_sessions(file: IO[bytes], target_url: TargetUrl, *, first: int = 1) -> Iterator[Item]:
    """What :func:`write_sessions` of this very run has written, in order.

    So many are read ahead of time, of sessions that must be unpickled a few thousand: those that
    begin together should not wait for the file.
    """
    items = _read(file, target_url)
    ahead = list(itertools.islice(items, max(1, first)))
    if ahead and isinstance(ahead[0], Session):
        ahead += itertools.islice(items, _AHEAD)
    return itertools.chain(ahead, items)


def _read(file: IO[bytes], target_url: TargetUrl) -> Iterator[Item]:
    openings: list[bytes] = []
    while head := file.read(_FRAME.size):
        kind, size, route, n_in, n_out, exact, delay_s = _FRAME.unpack(head)
        data = file.read(size)
        if kind == _REQUEST:
            http_bytes = with_body(openings[route], data)
            yield PreparedRequest(http_bytes, (n_in, n_out, exact != 0), delay_s)
        elif kind == _ROUTE:
            openings.append(target_url.opening(msgspec.msgpack.decode(data, type=Route)))
        else:
            yield cast("Session", pickle.loads(data))  # noqa: S301 - bench wrote it a moment ago
