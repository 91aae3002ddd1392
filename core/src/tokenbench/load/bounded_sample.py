"""A bounded sample of many small durations."""

from __future__ import annotations

from array import array

_MAX_VALUES = 1 << 16


class BoundedSample:
    """Keeps every n-th value; n doubles whenever the sample is full.

    So memory is bounded, and the kept values are spread evenly over the run. `largest` is exact.
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
        """Add a value, in ns."""
        self.largest = max(self.largest, value)
        self._seen += 1
        if self._seen % self._step:
            return
        self._values.append(value)
        if len(self._values) >= _MAX_VALUES:
            self._values = self._values[1::2]
            self._step *= 2

    def percentiles(self, *ranks: int) -> tuple[int, ...]:
        """Percentiles by nearest rank (default 50, 90, 99), then the largest value.

        Empty if there are no values.
        """
        if not self._values:
            return ()
        ordered = sorted(self._values)
        last = len(ordered) - 1
        wanted = ranks or (50, 90, 99)
        return (*(ordered[round(last * rank / 100)] for rank in wanted), self.largest)
