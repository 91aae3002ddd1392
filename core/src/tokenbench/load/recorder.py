"""Writes records to disk in the background, so that memory does not grow with the run."""

from __future__ import annotations

import os
import queue
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

from .event_loop import EventLoop
from .records import ABSENT
from .request_state import InFlightRequest

_BATCH_BYTES = 256 * 1024
# Requests recorded at once, and how many may wait until the event loop is idle. If more waited, the
# first would have left the CPU caches before they are recorded.
_BATCH, _MAX_WAITING = 16, 64
_UNKNOWN_COUNT = array("i", [ABSENT]).tobytes()


class Recorder:
    """Writes ``records.bin``, ``timestamps.bin`` and ``counts.bin`` of one phase, and
    ``sessions.bin`` if it has any.

    Rows are packed by the caller (a microsecond each) and written by a background thread. A disk
    error is available as :attr:`failure`, and raised by :meth:`close`.
    """

    def __init__(self, folder: Path, *, worker: int = 0) -> None:
        self._records = bytearray()
        self._timestamps = bytearray()
        self._counts = bytearray()
        self._sessions = bytearray()
        self._offset = 0
        self.failure: OSError | None = None
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        suffix = f".{worker}" if worker else ""
        self._record_file = os.open(folder / f"records{suffix}.bin", flags, 0o644)
        self._timestamp_file = os.open(folder / f"timestamps{suffix}.bin", flags, 0o644)
        self._count_file = os.open(folder / f"counts{suffix}.bin", flags, 0o644)
        self._session_path, self._session_file = folder / f"sessions{suffix}.bin", -1
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._writer.start()

    def add(self, request: InFlightRequest, worker: int) -> None:
        """Add a turn: its record, and the timestamp and token count of each token-bearing chunk."""
        timestamps, counts = request.timestamps, request.counts
        chunks = len(timestamps)
        self._records += request.row(worker, self._offset)
        self._timestamps += timestamps
        self._counts += array("i", counts).tobytes() if counts else _UNKNOWN_COUNT * chunks
        self._offset += chunks
        if len(self._timestamps) > _BATCH_BYTES or len(self._records) > _BATCH_BYTES:
            self._flush()

    def add_session(self, row: bytes) -> None:
        """Add the record of a session that is not a single request."""
        if self._session_file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._session_file = os.open(self._session_path, flags, 0o644)
        self._sessions += row
        if len(self._sessions) > _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the rest and close the files.

        Raises:
            OSError: a write failed.
        """
        self._flush()
        self._queue.put(None)
        self._writer.join()
        os.close(self._record_file)
        os.close(self._timestamp_file)
        os.close(self._count_file)
        if self._session_file >= 0:
            os.close(self._session_file)
        if self.failure is not None:
            raise self.failure

    def _flush(self) -> None:
        for file, data in (
            (self._record_file, self._records),
            (self._timestamp_file, self._timestamps),
            (self._count_file, self._counts),
            (self._session_file, self._sessions),
        ):
            if data:
                self._queue.put((file, bytes(data)))
                data.clear()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            file, data = item
            try:
                while data and self.failure is None:
                    data = data[os.write(file, data) :]
            except OSError as error:
                self.failure = error


class IdleRecorder:
    """Records completed requests when the event loop is idle.

    Args:
        done: called after each batch.
    """

    def __init__(
        self, recorder: Recorder, loop: EventLoop, worker: int, *, done: Callable[[], None]
    ) -> None:
        self._recorder, self._loop, self._worker = recorder, loop, worker
        self._done = done
        self._waiting: list[InFlightRequest] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: InFlightRequest) -> None:
        """Record a request later."""
        if not self._waiting:
            self._loop.call_when_idle(self._when_idle)
        self._waiting.append(request)

    def limit(self) -> None:
        """Record a batch now if many requests wait."""
        if len(self._waiting) > _MAX_WAITING:
            self._record_batch()

    def _when_idle(self) -> None:
        self._record_batch()
        if self._waiting:
            self._loop.call_when_idle(self._when_idle)
        self._done()

    def _record_batch(self) -> None:
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        for request in batch:
            self._recorder.add(request, self._worker)
