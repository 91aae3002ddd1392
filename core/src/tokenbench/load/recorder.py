"""Fixed-width rows to disk, in the background, so that memory does not grow with the run."""

from __future__ import annotations

import os
import queue
import threading
from array import array
from pathlib import Path

from .records import ABSENT
from .request_state import InFlightRequest

_BATCH_BYTES = 256 * 1024
_UNCOUNTED = array("i", [ABSENT]).tobytes()


class Recorder:
    """Writes ``records.bin``, ``timestamps.bin`` and ``counts.bin`` of one phase.

    Rows are packed on the loop's thread (a microsecond each) and written by a thread of its own.
    An error of the disk is kept and raised by :meth:`close`, or found in :attr:`failure`.
    """

    def __init__(self, folder: Path, *, worker: int = 0) -> None:
        self._records = bytearray()
        self._stamps = bytearray()
        self._counts = bytearray()
        self._offset = 0
        self.failure: OSError | None = None
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        suffix = f".{worker}" if worker else ""
        self._record_file = os.open(folder / f"records{suffix}.bin", flags, 0o644)
        self._stamp_file = os.open(folder / f"timestamps{suffix}.bin", flags, 0o644)
        self._count_file = os.open(folder / f"counts{suffix}.bin", flags, 0o644)
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._writer.start()

    def add(self, request: InFlightRequest, worker: int) -> None:
        """One turn: its row, the arrival of each token-bearing chunk, and the tokens in each; no
        counts stand for unknown ones.
        """
        timestamps = request.timestamps
        self._records += request.row(worker, self._offset)
        self._stamps += timestamps
        counts = request.counts
        self._counts += array("i", counts).tobytes() if counts else _UNCOUNTED * len(timestamps)
        self._offset += len(timestamps)
        if len(self._stamps) > _BATCH_BYTES or len(self._records) > _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left.

        Raises:
            OSError: the disk refused.
        """
        self._flush()
        self._queue.put(None)
        self._writer.join()
        os.close(self._record_file)
        os.close(self._stamp_file)
        os.close(self._count_file)
        if self.failure is not None:
            raise self.failure

    def _flush(self) -> None:
        for file, data in (
            (self._record_file, self._records),
            (self._stamp_file, self._stamps),
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
