"""Answers of the batch in progress. Each is written to disk when it arrives.

An eval grades a batch as a whole. Until it has, a kill would lose the batch's answers.
"""

from __future__ import annotations

import collections
import hashlib
import threading
from pathlib import Path

import msgspec

from tokenbench.api import Answer, Generation
from tokenbench.plan.canonical import canonical_json
from tokenbench.store.files import append_line, guarded

Reply = tuple[Answer | None, str | None]
"""The answer, or the error if there is none."""


class _Kept(msgspec.Struct):
    request: str
    answer: Answer


class Journal:
    """Remembers replies by request. Each is used once per attempt at a batch: a batch may contain
    the same request twice.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._unused: dict[str, collections.deque[Reply]] = collections.defaultdict(
            collections.deque
        )
        self._used: list[tuple[str, Reply]] = []
        for line in file.read_bytes().split(b"\n") if file.exists() else ():
            try:
                kept = msgspec.json.decode(line, type=_Kept)
                self._unused[kept.request].append((kept.answer, None))
            except (msgspec.DecodeError, ValueError):
                continue  # The last line of a killed worker.

    def take(self, request: Generation) -> Reply | None:
        """A reply that an earlier attempt got."""
        key = _key(request)
        with self._lock:
            if not self._unused[key]:
                return None
            reply = self._unused[key].popleft()
            self._used.append((key, reply))
            return reply

    def keep(self, request: Generation, reply: Reply) -> None:
        """Write an answer to disk: to the journal, and to ``responses.jsonl``, where it stays.
        Failures are kept in memory only.
        """
        key, (answer, _) = _key(request), reply
        with self._lock:
            self._used.append((key, reply))
            if answer is not None:
                line = msgspec.json.encode(_Kept(request=key, answer=answer))
                append_line(self._file, line)
                append_line(self._file.with_name("responses.jsonl"), line)

    def rewind(self) -> None:
        """Make used answers available again, because the batch is asked again."""
        with self._lock:
            for key, reply in self._used:
                self._unused[key].append(reply)
            self._used.clear()

    def commit(self) -> None:
        """Discard used answers: they are in samples now."""
        with self._lock:
            self._used.clear()

    def clear(self) -> None:
        """Empty the journal: the batch's samples are on disk."""
        with self._lock, guarded(self._file):
            self._unused.clear()
            self._used.clear()
            self._file.write_bytes(b"")


def _key(request: Generation) -> str:
    return hashlib.sha256(canonical_json(request).encode()).hexdigest()
