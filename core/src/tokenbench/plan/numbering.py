"""Numbers for things of one run that would share a key."""

from __future__ import annotations

import collections


class Numbering:
    """Counts how often a key was used, so that no two things of one run share a key."""

    def __init__(self) -> None:
        self._used: collections.Counter[str] = collections.Counter()

    def number(self, key: str) -> int:
        """1 for the first use of `key`, 2 for the second, and so on."""
        self._used[key] += 1
        return self._used[key]

    def name(self, key: str) -> str:
        """The key itself, then ``key-2`` and so on."""
        number = self.number(key)
        return key if number == 1 else f"{key}-{number}"
