"""Prepares the sessions of a phase ahead of the load workers, in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic

from tokenbench.api import Codec, Session, Target
from tokenbench.guard.call import together

from .session_file import SessionWriter

# Prepared before the load starts: as many sessions as fit into this time, within these numbers.
_FIRST_S = 0.25
_MIN_FIRST, _MAX_FIRST = 64, 4096
_FIRST_BYTES = 64 * 1024 * 1024
# Prepared ahead while the load runs, in slices of `_SLICE_S`.
_AHEAD_S = 2.0
_AHEAD_BYTES = 256 * 1024 * 1024
_SLICE_S = 0.05
_RATE_WINDOW_S = 0.25


class SessionFeed:
    """Writes sessions to the files of the load workers, round-robin.

    How many sessions a phase needs is not known beforehand. A first batch is written, then as many
    as the recent rate of started sessions requires; at most a few hundred MiB wait on the disk.

    Args:
        limit: the most sessions that the phase can need, if known.
        workload_owner: the plugin of the sessions, as errors name it.
        codec_owner: the plugin of the codec, as errors name it.
    """

    def __init__(
        self,
        sessions: Iterator[Session],
        codec: Codec,
        target: Target,
        files: Sequence[Path],
        *,
        concurrency: int,
        rate_per_s: float | None = None,
        limit: int | None = None,
        workload_owner: str | None = None,
        codec_owner: str | None = None,
    ) -> None:
        self._sessions = sessions
        self._codec, self._target = codec, target
        owners = (workload_owner, codec_owner)
        self._writers = [SessionWriter(file, *owners) for file in files]
        self._workload_owner = workload_owner
        self._concurrency = concurrency
        self._rate_per_s = rate_per_s or 0.0
        self._limit = limit
        self._count = 0
        # Time and sessions taken when the rate was last measured.
        self._mark: tuple[float, int] | None = None
        self.exhausted = False

    def prepare(self, cancelled: Callable[[], bool]) -> None:
        """Write the first batch. Stops early once `cancelled()` is true.

        Raises:
            BenchError: the workload or the codec failed.
        """
        together(self._workload_owner, lambda: self._prepare(cancelled))

    def _prepare(self, cancelled: Callable[[], bool]) -> None:
        least = max(4 * self._concurrency, _MIN_FIRST, int(_AHEAD_S * self._rate_per_s))
        if self._limit is not None:
            least = min(least, self._limit)
        begun = asked = monotonic()
        while not self.exhausted:
            enough = self._bytes() > _FIRST_BYTES and self._count >= self._concurrency
            over = monotonic() - begun > _FIRST_S or self._count >= (self._limit or _MAX_FIRST)
            if enough or (self._count >= least and over):
                break
            if monotonic() - asked > _SLICE_S:
                asked = monotonic()
                if cancelled():
                    break
            self._write_next()
        self._flush()

    def top_up(self, taken: Sequence[int]) -> bool:
        """Write more sessions if few are left, for a short time. Returns whether some are missing.

        Args:
            taken: how many sessions each worker has started.
        """
        return together(self._workload_owner, lambda: self._top_up(taken))

    def _top_up(self, taken: Sequence[int]) -> bool:
        self._measure_rate(sum(taken))
        begun = monotonic()
        missing = self._ahead() - self._least_left(taken)
        while missing > 0 and not self.exhausted and monotonic() - begun < _SLICE_S:
            self._write_next()
            missing -= 1
        self._flush()
        return missing > 0 and not self.exhausted

    def close(self) -> None:
        """Close and delete the files. May be called twice."""
        for writer in self._writers:
            writer.delete()

    def _ahead(self) -> float:
        """How many sessions should be prepared but not yet started."""
        wanted = max(2 * self._concurrency, _MIN_FIRST, _AHEAD_S * self._rate_per_s)
        if self._count and wanted * self._bytes() / self._count > _AHEAD_BYTES:
            wanted = max(self._concurrency, _AHEAD_BYTES * self._count / self._bytes())
        return wanted

    def _least_left(self, taken: Sequence[int]) -> int:
        """Sessions left if every worker had as few as the one with the fewest."""
        workers = len(self._writers)
        shares = (self._count // workers + (n < self._count % workers) for n in range(workers))
        return workers * min(share - one for share, one in zip(shares, taken, strict=True))

    def _measure_rate(self, taken: int) -> None:
        now = monotonic()
        if self._mark is None or not taken:
            self._mark = (now, taken)
        elif now - self._mark[0] >= _RATE_WINDOW_S:
            rate = (taken - self._mark[1]) / (now - self._mark[0])
            # It decreases slowly, because requests may come in waves.
            self._rate_per_s = max(rate, 0.9 * self._rate_per_s)
            self._mark = (now, taken)

    def _write_next(self) -> None:
        session = next(self._sessions, None)
        if session is None:
            self.exhausted = True
            for writer in self._writers:
                writer.end()
            return
        writer = self._writers[self._count % len(self._writers)]
        writer.write(session, self._codec, self._target)
        self._count += 1

    def _bytes(self) -> int:
        return sum(writer.size for writer in self._writers)

    def _flush(self) -> None:
        if self.exhausted:
            return  # The files are closed.
        for writer in self._writers:
            writer.flush()
