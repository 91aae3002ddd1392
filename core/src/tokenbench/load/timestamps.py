"""When the tokens of one turn came.

Here for every system; where :mod:`.native` has it compiled, its twin in ``_native.c`` is used.
"""

from __future__ import annotations

from array import array
from operator import eq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Integers = array[int]
else:
    _Integers = array


class Timestamps(_Integers):
    """Arrivals of token-bearing chunks, in monotonic ns and in order; only ever appended to.

    ``Timestamps("q")``. The bytes of its buffer are 64-bit integers.
    """

    __slots__ = ()

    @property
    def coalesced(self) -> int:
        """How many have the stamp of the one before: they came out of one read with it."""
        return sum(map(eq, self, self[1:])) if len(self) > 1 else 0
