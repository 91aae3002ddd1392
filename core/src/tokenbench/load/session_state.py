"""Sessions under way: which turn may be sent when."""

from __future__ import annotations

from collections.abc import Callable

from tokenbench.api import Session, Turn, TurnResult

from .records import ABSENT, Status
from .request_state import InFlightRequest


class SessionState:
    """One session under way.

    `send(run, number, turn)` is called for each turn whose parents have ended; a turn's delay is
    the caller's to wait. `over` is True when nothing is in flight and nothing waits.
    """

    __slots__ = (
        "_ended",
        "_in_flight",
        "_send",
        "_session",
        "_turns",
        "_waiting",
        "index",
    )

    def __init__(
        self,
        index: int,
        session: Session,
        send: Callable[[SessionState, int, Turn], None],
    ) -> None:
        self.index = index
        self._session = session
        self._send = send
        self._turns = 0
        self._in_flight = 0
        self._ended: set[int] = set()
        self._waiting: list[tuple[int, Turn]] = []

    @property
    def over(self) -> bool:
        """Nothing in flight, nothing waiting for a parent."""
        return self._in_flight == 0

    def start(self) -> None:
        """Ask for the first turn or turns."""
        self._take(self._session.next(None))

    def ended(self, request: InFlightRequest) -> None:
        """A turn ended: tell the session, send what became possible."""
        self._in_flight -= 1
        self._ended.add(request.number)
        result = TurnResult(
            number=request.number,
            ok=request.status is Status.OK,
            text="".join(request.text),
            n_in=None if request.n_in == ABSENT else request.n_in,
            n_out=None if request.n_out == ABSENT else request.n_out,
        )
        self._take(self._session.next(result))

    def _take(self, turns: Turn | tuple[Turn, ...] | None) -> None:
        new = (turns,) if isinstance(turns, Turn) else turns or ()
        for turn in new:
            self._waiting.append((self._turns, turn))
            self._turns += 1
        ready = [(n, turn) for n, turn in self._waiting if self._ended.issuperset(turn.parents)]
        if ready:
            self._waiting = [item for item in self._waiting if item not in ready]
            self._in_flight += len(ready)
            for number, turn in ready:
                self._send(self, number, turn)
