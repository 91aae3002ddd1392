"""The error of a BMC that cannot be read."""

from __future__ import annotations


class Unavailable(Exception):
    """No reading. `permanent`: asking again soon does not help, and could lock the user out."""

    def __init__(self, reason: str, hint: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.permanent = permanent
