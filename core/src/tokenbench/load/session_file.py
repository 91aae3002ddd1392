"""The file with a phase's sessions for a load worker, in the order in which they start.

A session of one turn is stored as its request, encoded before the load starts: the worker only has
to send the bytes. Other sessions are pickled, because they run in the worker. Memory on both sides
does not grow with the number of sessions.
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
from .request_state import RequestedTokens
from .session_state import SessionState
from .target_url import Route, TargetUrl, with_body

# kind, size of the data that follows, route, asked_in, asked_out, exact, delay_s
_FRAME = struct.Struct("<cIHiiBd")
_ROUTE, _REQUEST, _SESSION = b"H", b"R", b"S"
# Sessions unpickled before the load starts, in addition to the first ones.
_READ_AHEAD = 4096


class PreparedRequest(msgspec.Struct, frozen=True, gc=False):
    """A session of one turn: the bytes to send `delay_s` seconds after its start."""

    http_bytes: bytes
    requested: RequestedTokens
    delay_s: float


QueuedSession = PreparedRequest | Session


def requested_tokens(turn: Turn) -> RequestedTokens:
    """The numbers of tokens that a turn requests, as the records hold them."""
    n_in = ABSENT if turn.n_in is None else int(turn.n_in)
    return (n_in, int(turn.max_tokens), bool(turn.exact_output))


def write_sessions(
    sessions: Iterable[Session], codec: Codec, target: Target, files: Iterable[Path]
) -> int:
    """Write one file per load worker, dealing out the sessions in turn. Returns their number.

    Raises:
        UsageError: the codec cannot encode a turn.
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
        n_in, n_out, exact = requested_tokens(turn)
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
    SessionState(0, session, lambda _state, _number, turn: turns.append(turn)).start()
    return turns[0]


def read_sessions(
    file: IO[bytes], target_url: TargetUrl, *, first: int = 1
) -> Iterator[QueuedSession]:
    """Read what :func:`write_sessions` wrote in the same run.

    Args:
        first: how many sessions start together. They are read at once, so that none waits for the
            file; if they must be unpickled, a few thousand more are.
    """
    sessions = _read(file, target_url)
    ahead = list(itertools.islice(sessions, max(1, first)))
    if ahead and isinstance(ahead[0], Session):
        ahead += itertools.islice(sessions, _READ_AHEAD)
    return itertools.chain(ahead, sessions)


def _read(file: IO[bytes], target_url: TargetUrl) -> Iterator[QueuedSession]:
    head_prefixes: list[bytes] = []
    while head := file.read(_FRAME.size):
        kind, size, route, n_in, n_out, exact, delay_s = _FRAME.unpack(head)
        data = file.read(size)
        if kind == _REQUEST:
            http_bytes = with_body(head_prefixes[route], data)
            yield PreparedRequest(http_bytes, (n_in, n_out, exact != 0), delay_s)
        elif kind == _ROUTE:
            route_key = msgspec.msgpack.decode(data, type=Route)
            head_prefixes.append(target_url.head_prefix(route_key))
        else:
            yield cast("Session", pickle.loads(data))  # noqa: S301 - written by this run
