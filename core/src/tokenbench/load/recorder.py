"""Writes records to disk in the background, so that memory does not grow with the run."""

from __future__ import annotations

import os
import queue
import threading
from array import array
from pathlib import Path

from .records import ABSENT
from .request_state import InFlightRequest

_BATCH_BYTES = 256 * 1024
_UNKNOWN_COUNT = array("i", [ABSENT]).tobytes()


class Recorder:
    """Writes ``records.bin``, ``timestamps.bin`` and ``counts.bin`` of one phase.

    Rows are packed by the caller (a microsecond each) and written by a background thread. A disk
    error is available as :attr:`failure`, and raised by :meth:`close`.
    """

    def __init__(self, folder: Path, *, worker: int = 0) -> None:
        self._records = bytearray()
        self._timestamps = bytearray()
        self._counts = bytearray()
        self._offset = 0
        self.failure: OSError | None = None
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        suffix = f".{worker}" if worker else ""
        self._record_file = os.open(folder / f"records{suffix}.bin", flags, 0o644)
        self._timestamp_file = os.open(folder / f"timestamps{suffix}.bin", flags, 0o644)
        self._count_file = os.open(folder / f"counts{suffix}.bin", flags, 0o644)
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._writer.start()

    def add(self, request: InFlightRequest, worker: int) -> None:
        """Add a turn: its record, and the timestamp and token count of each token-bearing chunk."""
        timestamps = request.timestamps
        self._records += request.row(worker, self._offset)
        self._timestamps += timestamps
        counts = request.counts
        self._counts += array("i", counts).tobytes() if counts else _UNKNOWN_COUNT * len(timestamps)
        self._offset += len(timestamps)
        if len(self._timestamps) > _BATCH_BYTES or len(self._records) > _BATCH_BYTES:
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
        if self.failure is not None:
            raise self.failure

    def _flush(self) -> None:
        for file, data in (
            (self._record_file, self._records),
            (self._timestamp_file, self._timestamps),
            (self._count_file, self._counts),
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
