"""The file with a phase's sessions for a load worker, in the order in which they start.

A session of one turn is stored as its encoded request: the worker only has to send the bytes. Other
sessions are pickled, because they run in the worker. Memory on both sides does not grow with the
number of sessions. The file may still be written while it is read.
"""

from __future__ import annotations

import contextlib
import enum
import io
import pickle
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, cast

import msgspec

from tokenbench.api import Codec, HttpRequest, Session, SharedState, SingleTurn, Target, Turn
from tokenbench.guard.call import call
from tokenbench.guard.owner import wrong
from tokenbench.guard.types import mismatch, returns

from .records import ABSENT, label_number
from .request_state import NOTHING_ASKED, Asked
from .target_url import Route, TargetUrl, header_lines, with_body

# kind, size of the data that follows, route, `Asked`, delay_s, size of the request's own header
# lines, with which the data begins
_FRAME = struct.Struct("<cIHiiBiihdH")
_FRAME_SIZE = _FRAME.size
_ROUTE, _REQUEST, _SESSION, _NEXT_FILE, _END = b"H", b"R", b"S", b"N", b"E"
_SHARED, _LABEL = b"V", b"L"
_MAX_FILE_BYTES = 64 * 1024 * 1024
# Most sessions that are unpickled before the load starts, besides the first ones; and their bytes.
_READ_AHEAD, _READ_AHEAD_BYTES = 4096, 8 * 1024 * 1024
# About a hundred requests per system call.
_BUFFER_BYTES = 128 * 1024


class PreparedRequest(msgspec.Struct, frozen=True, gc=False):
    """A session of one turn: the bytes to send `delay_s` seconds after its start."""

    http_bytes: bytes
    asked: Asked
    delay_s: float


QueuedSession = PreparedRequest | Session


def asked_of(turn: Turn) -> Asked:
    """The fields of a turn's record that the workload sets."""
    n_in = ABSENT if turn.n_in is None else int(turn.n_in)
    shared = ABSENT if turn.shared_tokens is None else int(turn.shared_tokens)
    return (
        n_in,
        int(turn.max_tokens),
        bool(turn.exact_output),
        shared,
        label_number(turn.label),
        int(turn.agent),
    )


def write_sessions(
    sessions: Iterable[Session], codec: Codec, target: Target, files: Sequence[Path]
) -> int:
    """Write all sessions, round-robin to one file per load worker. Returns their number.

    Raises:
        UsageError: the codec cannot encode a turn.
    """
    writers = [SessionWriter(file) for file in files]
    count = 0
    for session in sessions:
        writers[count % len(writers)].write(session, codec, target)
        count += 1
    for writer in writers:
        writer.end()
    return count


class SessionWriter:
    """Appends sessions to the file of one load worker, which may already read it.

    A file that has become large is continued in another one, and the reader deletes what it has
    read, except for the first file. `size`: bytes written to all of them.
    """

    def __init__(
        self, path: Path, workload_owner: str | None = None, codec_owner: str | None = None
    ) -> None:
        self._workload_owner, self._codec_owner = workload_owner, codec_owner
        self._path = path
        self._files = 1
        self._out: IO[bytes] = path.open("wb", _BUFFER_BYTES)
        self._routes: dict[Route, int] = {}
        self._labels: set[str] = set()
        self._shared: dict[int, SharedState] = {}
        self.size = self._file_size = 0

    def write(self, session: Session, codec: Codec, target: Target) -> None:
        """Write a session; :meth:`flush` makes it visible to the reader.

        Raises:
            UsageError: the codec cannot encode its turn.
            PluginError: the workload or the codec failed.
        """
        if self._file_size > _MAX_FILE_BYTES:
            self._continue()
        if not session.one_turn:
            self._frame(_SESSION, pickled(session, self._workload_owner, self._share))
            return
        turn = _only_turn(session, self._workload_owner)
        request = call(
            self._codec_owner,
            "encode()",
            "pure",
            lambda: codec.encode(turn, target),
            result=HttpRequest,
        )
        headers = self._headers(request)
        try:
            self._write_request(turn, request, headers)
        except (TypeError, ValueError, struct.error) as error:
            problem = mismatch(turn, Turn) or f"a turn with an impossible number: {error}"
            raise wrong(self._workload_owner, "Session.next()", f"returned {problem}") from error

    def _headers(self, request: HttpRequest) -> bytes:
        try:
            return header_lines(request.headers)
        except ValueError as error:
            # A built-in codec only adds headers of the turn.
            owner, member = self._codec_owner, "encode()"
            if owner is None:
                owner, member = self._workload_owner, "Session.next()"
            raise wrong(owner, member, f"returned what cannot be sent: {error}") from error

    def _write_request(self, turn: Turn, request: HttpRequest, headers: bytes) -> None:
        route = self._route((request.method, request.path, request.content_type))
        if turn.label is not None and turn.label not in self._labels:
            self._labels.add(turn.label)
            self._frame(_LABEL, turn.label.encode())
        data = headers + request.body if headers else request.body
        self._frame(_REQUEST, data, route, asked_of(turn), turn.delay_s, len(headers))

    def _share(self, state: SharedState) -> int:
        """Write shared state when it first occurs; returns its number."""
        number = id(state)
        if number not in self._shared:
            self._shared[number] = state  # Kept, so that no other object gets the same id.
            data = pickled(state, self._workload_owner)
            self._frame(_SHARED, struct.pack("<Q", number) + data)
        return number

    def flush(self) -> None:
        """Make everything written so far visible to the reader."""
        self._out.flush()

    def end(self) -> None:
        """There are no more sessions."""
        self._frame(_END, b"")
        self._out.close()

    def delete(self) -> None:
        """Close and delete the files. May be called twice."""
        with contextlib.suppress(OSError):  # A full disk, which an earlier write has reported.
            self._out.close()
        for number in range(self._files):
            _file_name(self._path, number).unlink(missing_ok=True)

    def _continue(self) -> None:
        """Continue in another file. It exists before the reader is directed to it."""
        out = _file_name(self._path, self._files).open("wb", _BUFFER_BYTES)
        self._files += 1
        self._frame(_NEXT_FILE, b"")
        self._out.close()
        self._out, self._file_size = out, 0

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
        asked: Asked = NOTHING_ASKED,
        delay_s: float = 0.0,
        headers: int = 0,
    ) -> None:
        self._out.write(_FRAME.pack(kind, len(data), route, *asked, delay_s, headers) + data)
        self._file_size += _FRAME.size + len(data)
        self.size += _FRAME.size + len(data)


def _file_name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


class _Pickler(pickle.Pickler):
    """Writes references to shared state, which `share` stores and numbers."""

    def __init__(self, out: IO[bytes], share: Callable[[SharedState], int]) -> None:
        super().__init__(out, protocol=pickle.HIGHEST_PROTOCOL)
        self._share = share

    def persistent_id(self, obj: object) -> int | None:
        """The number of shared state; None for everything else."""
        return self._share(obj) if isinstance(obj, SharedState) else None


def pickled(
    value: Session | SharedState,
    owner: str | None,
    share: Callable[[SharedState], int] | None = None,
) -> bytes:
    """A session, or state that sessions share, as bytes for a load worker.

    Args:
        share: stores shared state and returns its number; None: shared state is pickled too.

    Raises:
        PluginError: it cannot be pickled.
    """

    def dump() -> bytes:
        if share is None:
            return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        out = io.BytesIO()
        _Pickler(out, share).dump(value)
        return out.getvalue()

    return call(owner, "pickling a session", "item", dump)


def first_turns(session: Session, owner: str | None) -> tuple[Turn, ...]:
    """The turns that a session begins with.

    Raises:
        PluginError: the session raised an exception, or returned something else.
    """
    found = call(
        owner, "Session.next()", "item", lambda: session.next(None), result=returns(Session, "next")
    )
    return (found,) if isinstance(found, Turn) else found or ()


def _only_turn(session: Session, owner: str | None) -> Turn:
    if type(session) is SingleTurn and isinstance(session.turn, Turn):
        return session.turn
    turns = first_turns(session, owner)
    if len(turns) != 1 or turns[0].parents:
        raise wrong(owner, "Session.next()", "of a session with one_turn did not return one turn")
    return turns[0]


class _Unpickler(pickle.Unpickler):
    """Resolves references to shared state. The data was written by this run."""

    def __init__(self, data: bytes, shared: Mapping[int, SharedState]) -> None:
        super().__init__(io.BytesIO(data))
        self._shared = shared

    def persistent_load(self, pid: int) -> SharedState:
        """The shared state with that number."""
        return self._shared[pid]


class NotYet(enum.Enum):
    """The result of :meth:`SessionReader.next` while the next session is not written yet."""

    PREPARED = enum.auto()


class SessionReader:
    """Reads what a :class:`SessionWriter` wrote in the same run, or is still writing.

    `labels`: those of the single requests read so far; labels of other sessions are known only when
    they run.
    """

    def __init__(self, path: Path, target_url: TargetUrl) -> None:
        self._path = path
        self._target_url = target_url
        self._number = 0
        self._file: IO[bytes] = path.open("rb", _BUFFER_BYTES)
        self._position = 0
        self._head_prefixes: list[bytes] = []
        self._ahead: deque[QueuedSession] = deque()
        self._shared: dict[int, SharedState] = {}
        self._bytes = 0
        self.labels: set[str] = set()
        self._ended = False

    def read_ahead(self, count: int) -> None:
        """Read the first sessions before the load starts, so that none waits for the file.

        If they must be unpickled, more are read: a few thousand, or a few MiB of them.

        Args:
            count: how many sessions start together.
        """
        while len(self._ahead) < count:
            session = self._read()
            if session is None or session is NotYet.PREPARED:
                return
            self._ahead.append(session)
            if len(self._ahead) == 1 and isinstance(session, Session):
                more = min(_READ_AHEAD, _READ_AHEAD_BYTES // max(1, self._bytes))
                count += more

    def next(self) -> QueuedSession | Literal[NotYet.PREPARED] | None:
        """The next session; None after the last one."""
        return self._ahead.popleft() if self._ahead else self._read()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> QueuedSession | Literal[NotYet.PREPARED] | None:
        while not self._ended:
            head = self._file.read(_FRAME_SIZE)
            if len(head) < _FRAME_SIZE:
                return self._not_yet()
            frame = _FRAME.unpack(head)
            kind, size, route = frame[:3]
            data = self._file.read(size)
            if len(data) < size:
                return self._not_yet()
            self._position += _FRAME_SIZE + size
            if kind == _REQUEST:
                delay_s, own = frame[9:]
                headers, body = (data[:own], data[own:]) if own else (b"", data)
                http_bytes = with_body(self._head_prefixes[route], body, headers)
                return PreparedRequest(http_bytes, frame[3:9], delay_s)
            if kind == _SESSION:
                self._bytes = len(data)
                return cast("Session", self._unpickle(data))
            self._read_other(kind, data)
        return None

    def _not_yet(self) -> Literal[NotYet.PREPARED]:
        """Go back to the start of the incomplete frame."""
        self._file.seek(self._position)
        return NotYet.PREPARED

    def _unpickle(self, data: bytes) -> object:
        return _Unpickler(data, self._shared).load()

    def _read_other(self, kind: bytes, data: bytes) -> None:
        if kind == _SHARED:
            (number,) = struct.unpack_from("<Q", data)
            self._shared[number] = cast("SharedState", self._unpickle(data[8:]))
        elif kind == _LABEL:
            self.labels.add(data.decode())
        elif kind == _ROUTE:
            route_key = msgspec.msgpack.decode(data, type=Route)
            self._head_prefixes.append(self._target_url.head_prefix(route_key))
        elif kind == _NEXT_FILE:
            self._file.close()
            if self._number:
                _file_name(self._path, self._number).unlink(missing_ok=True)
            self._number += 1
            self._file = _file_name(self._path, self._number).open("rb", _BUFFER_BYTES)
            self._position = 0
        else:
            self._ended = True
