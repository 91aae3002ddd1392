"""Sessions in progress: which turn may be sent when."""

from __future__ import annotations

from collections.abc import Callable

from tokenbench.api import Session, Turn, TurnResult

from .records import ABSENT, Status
from .request_state import InFlightRequest


class SessionState:
    """One session in progress.

    `send(state, turn_number, turn)` is called for each turn once its parents have ended; it has to
    wait for the delay of the turn.
    """

    __slots__ = (
        "_ended",
        "_in_flight",
        "_send",
        "_session",
        "_turns",
        "_waiting",
        "number",
    )

    def __init__(
        self,
        number: int,
        session: Session,
        send: Callable[[SessionState, int, Turn], None],
    ) -> None:
        self.number = number
        self._session = session
        self._send = send
        self._turns = 0
        self._in_flight = 0
        self._ended: set[int] = set()
        self._waiting: list[tuple[int, Turn]] = []

    @property
    def finished(self) -> bool:
        """No turn is in flight, so none can be waiting for one either."""
        return self._in_flight == 0

    def start(self) -> None:
        """Get the first turn or turns from the session and send them."""
        self._add_turns(self._session.next(None))

    def turn_ended(self, request: InFlightRequest) -> None:
        """Report the end of a turn to the session, then send the turns that may follow."""
        self._in_flight -= 1
        self._ended.add(request.turn)
        result = TurnResult(
            number=request.turn,
            ok=request.status is Status.OK,
            text="".join(request.text),
            reasoning="".join(request.reasoning),
            tool_calls="".join(request.tool_calls),
            n_in=None if request.n_in == ABSENT else request.n_in,
            n_out=None if request.n_out == ABSENT else request.n_out,
        )
        self._add_turns(self._session.next(result))

    def _add_turns(self, turns: Turn | tuple[Turn, ...] | None) -> None:
        new = (turns,) if isinstance(turns, Turn) else turns or ()
        for turn in new:
            if not isinstance(turn, Turn):
                raise TypeError(f"expected a Turn, got {type(turn).__name__}")
            self._waiting.append((self._turns, turn))
            self._turns += 1
        ready = [(n, turn) for n, turn in self._waiting if self._ended.issuperset(turn.parents)]
        if ready:
            self._waiting = [item for item in self._waiting if item not in ready]
            self._in_flight += len(ready)
            for number, turn in ready:
                self._send(self, number, turn)
