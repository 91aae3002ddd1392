"""A bounded sample of many small durations."""

from __future__ import annotations

from array import array

_MOST = 1 << 16


class BoundedSample:
    """Keeps every n-th value, n doubling whenever the sample is full: memory does not grow with the
    run, and the values kept are spread evenly over it. The largest is kept exactly.
    """

    __slots__ = ("_seen", "_step", "_values", "largest")

    def __init__(self) -> None:
        self._values = array("q")
        self._seen = 0
        self._step = 1
        self.largest = 0

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: int) -> None:
        """One more."""
        self.largest = max(self.largest, value)
        self._seen += 1
        if self._seen % self._step:
            return
        self._values.append(value)
        if len(self._values) >= _MOST:
            self._values = self._values[1::2]
            self._step *= 2

    def percentiles(self, *ranks: int) -> tuple[int, ...]:
        """These percentiles (nearest rank, of the sample), by default 50, 90 and 99, and then the
        largest; empty where there is none.
        """
        if not self._values:
            return ()
        ordered = sorted(self._values)
        last = len(ordered) - 1
        wanted = ranks or (50, 90, 99)
        return (*(ordered[round(last * rank / 100)] for rank in wanted), self.largest)
