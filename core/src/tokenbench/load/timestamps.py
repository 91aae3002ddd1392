"""Arrival times of the tokens of one request.

``_native.c`` has a faster :class:`Timestamps` with the same interface; see :mod:`.native`.
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
    """Arrival times of token-bearing chunks, in monotonic ns, in ascending order.

    Create with ``Timestamps("q")``, and change only with :meth:`append`. The buffer holds 64-bit
    integers.
    """

    __slots__ = ()

    @property
    def coalesced(self) -> int:
        """How many equal the previous one, because both chunks came with the same read."""
        return sum(map(eq, self, self[1:])) if len(self) > 1 else 0
