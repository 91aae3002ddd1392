"""A bounded sample of many small durations."""

from __future__ import annotations

from array import array

_MAX_VALUES = 1 << 16


class BoundedSample:
    """Keeps every n-th value; n doubles whenever the sample is full.

    So memory is bounded, and the kept values are spread evenly over the run.

    `add` adds a value, in ns. It only appends to an array, because it is called for many reads.
    Call :meth:`thin` a few times per second.
    """

    __slots__ = ("_largest", "_new", "_seen", "_step", "_values", "add")

    def __init__(self) -> None:
        self._values = array("q")
        self._new = array("q")
        self.add = self._new.append
        self._seen = 0
        self._step = 1
        self._largest = 0

    def __len__(self) -> int:
        self.thin()
        return len(self._values)

    def thin(self) -> None:
        """Move the added values into the sample."""
        for value in self._new:
            self._largest = max(self._largest, value)
            self._seen += 1
            if self._seen % self._step:
                continue
            self._values.append(value)
            if len(self._values) >= _MAX_VALUES:
                self._values = self._values[1::2]
                self._step *= 2
        del self._new[:]

    def percentiles(self, *ranks: int) -> tuple[int, ...]:
        """Percentiles by nearest rank (default 50, 90, 99), then the largest of all values.

        Empty if there are no values.
        """
        self.thin()
        if not self._values:
            return ()
        ordered = sorted(self._values)
        last = len(ordered) - 1
        wanted = ranks or (50, 90, 99)
        return (*(ordered[round(last * rank / 100)] for rank in wanted), self._largest)
