"""The state of one process of a deployment."""

from __future__ import annotations

import attrs

from tokenbench.api import Placement


@attrs.frozen(kw_only=True)
class ProcessState:
    """The state of one process.

    `pid`: on its host; None until it is known. `exit_code` is None while it runs, 128 + N for
    signal N. `lost`: why it no longer serves although it has not ended: its host cannot be reached,
    or a signal has halted it.
    """

    place: Placement
    pid: int | None = None
    exit_code: int | None = None
    lost: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it is known to serve no longer."""
        return self.exit_code is not None or self.lost is not None
