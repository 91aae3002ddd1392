"""Fixed-width rows to disk, in the background, so that memory does not grow with the run."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path

from .records import CHUNK, RECORD

_BATCH_BYTES = 256 * 1024


class Recorder:
    """Writes ``records.bin`` and ``chunks.bin`` of one phase.

    Rows are packed on the loop's thread (a microsecond each) and written by a thread of its own.
    An error of the disk is kept and raised by :meth:`close`, or found in :attr:`failure`.
    """

    def __init__(self, folder: Path, *, worker: int = 0) -> None:
        self._records = bytearray()
        self._chunks = bytearray()
        self._offset = 0
        self.failure: OSError | None = None
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        suffix = f".{worker}" if worker else ""
        self._record_file = os.open(folder / f"records{suffix}.bin", flags, 0o644)
        self._chunk_file = os.open(folder / f"chunks{suffix}.bin", flags, 0o644)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def add(self, row: list[int], chunks: bytearray) -> None:
        """One turn: its row (`chunk_offset` is filled in here) and its packed chunks."""
        row[_CHUNK_OFFSET] = self._offset
        self._records += RECORD.pack(*row)
        self._chunks += chunks
        self._offset += len(chunks) // CHUNK.size
        if len(self._chunks) > _BATCH_BYTES or len(self._records) > _BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left.

        Raises:
            OSError: the disk refused.
        """
        self._flush()
        self._queue.put(None)
        self._thread.join()
        os.close(self._record_file)
        os.close(self._chunk_file)
        if self.failure is not None:
            raise self.failure

    def _flush(self) -> None:
        if self._records:
            self._queue.put((self._record_file, bytes(self._records)))
            self._records.clear()
        if self._chunks:
            self._queue.put((self._chunk_file, bytes(self._chunks)))
            self._chunks.clear()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            file, data = item
            try:
                while data and self.failure is None:
                    data = data[os.write(file, data) :]
            except OSError as error:
                self.failure = error


_CHUNK_OFFSET = 20
