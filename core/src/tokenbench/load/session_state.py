"""Sessions in progress: when each turn may be sent, and how the session ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tokenbench.api import Session, Turn, TurnResult

from .records import ABSENT, SESSION, SessionStatus, Status
from .request_state import InFlightRequest


class _Waiting:
    """A turn that waits for `missing` parents."""

    __slots__ = ("missing", "number", "turn")

    def __init__(self, number: int, turn: Turn, missing: int) -> None:
        self.number, self.turn, self.missing = number, turn, missing


class SessionState:
    """One session in progress.

    `send(state, turn_number, turn)` is called for each turn once its parents have succeeded; it
    must wait for the turn's delay. `drop(state, turn_number, turn)` is called for each turn that is
    not sent because a parent failed.

    Args:
        number: of the session, as in the records.
        begun_ns: when it should have begun.
    """

    __slots__ = (
        "_children",
        "_drop",
        "_overflow",
        "_results",
        "_send",
        "_session",
        "_succeeded",
        "begun_ns",
        "ended_ns",
        "failed",
        "idle_since_ns",
        "in_flight",
        "number",
        "ok",
        "open",
        "turns",
        "waited_ns",
    )

    def __init__(
        self,
        number: int,
        session: Session,
        send: Callable[[SessionState, int, Turn], None],
        drop: Callable[[SessionState, int, Turn], None],
        *,
        begun_ns: int,
    ) -> None:
        self.number = number
        self._session = session
        self._send, self._drop = send, drop
        # Whether each ended turn succeeded; and the turns that wait for one that has not ended.
        self._succeeded: dict[int, bool] = {}
        self._children: dict[int, list[_Waiting]] = {}
        # Results to be passed to the session.
        self._results: deque[TurnResult] = deque()
        self._overflow = False
        self.turns = self.ok = self.failed = 0
        # Turns that were handed to `send` and have not ended; those of them that are in flight.
        self.open = self.in_flight = 0
        self.begun_ns = self.ended_ns = begun_ns
        self.waited_ns = 0
        # When the last turn in flight ended; None while one is in flight.
        self.idle_since_ns: int | None = begun_ns

    @property
    def finished(self) -> bool:
        """No turn is in flight or waits for its delay, so none can wait for a parent either."""
        return self.open == 0

    def start(self) -> None:
        """Get the first turn or turns from the session and send them."""
        self._add_turns(self._session.next(None))
        self._pass_results()

    def dispatched(self, scheduled_ns: int) -> None:
        """A turn was sent. Idle time before its scheduled time counts as waiting."""
        self.in_flight += 1
        if self.idle_since_ns is not None:
            self.waited_ns += max(0, scheduled_ns - self.idle_since_ns)
            self.idle_since_ns = None

    def turn_aborted(self, request: InFlightRequest) -> None:
        """Count a turn that ended after the phase was aborted. The session is not called."""
        self.ended_ns = max(self.ended_ns, request.end_ns)
        if request.status is not Status.CANCELLED:
            self.failed += 1

    def turn_ended(self, request: InFlightRequest) -> None:
        """Report the end of a turn to the session, then send the turns that may follow."""
        self.open -= 1
        self.in_flight -= 1
        self.ended_ns = max(self.ended_ns, request.end_ns)
        if not self.in_flight:
            self.idle_since_ns = request.end_ns
        self._overflow |= request.status is Status.OVERFLOW
        assert request.answer_text is not None
        text, reasoning, tool_calls = request.answer_text.joined()
        self._ended(
            TurnResult(
                number=request.turn,
                ok=request.status is Status.OK,
                text=text,
                reasoning=reasoning,
                tool_calls=tool_calls,
                n_in=None if request.n_in == ABSENT else request.n_in,
                n_out=None if request.n_out == ABSENT else request.n_out,
            )
        )
        self._pass_results()

    def status(self, *, cut: bool) -> SessionStatus:
        """How the session ended.

        Args:
            cut: the phase ended before it.
        """
        if self._overflow:
            return SessionStatus.OVERFLOW
        if self.failed:
            return SessionStatus.FAILED
        return SessionStatus.CUT if cut else SessionStatus.COMPLETE

    def row(self, worker: int, *, cut: bool) -> bytes:
        """The record, as bytes, with the fields of ``SESSION_FIELDS``."""
        return SESSION.pack(
            self.number,
            worker,
            self.status(cut=cut),
            self.turns,
            self.ok,
            self.failed,
            self.begun_ns,
            self.ended_ns,
            self.waited_ns,
        )

    def _pass_results(self) -> None:
        """Pass results to the session. A loop, because one failure may end very many turns."""
        while self._results:
            self._add_turns(self._session.next(self._results.popleft()))

    def _ended(self, result: TurnResult) -> None:
        """Send the turns whose parents have now all succeeded; drop those of a failed parent."""
        ended = deque([result])
        while ended:
            result = ended.popleft()
            self._succeeded[result.number] = result.ok
            self._results.append(result)
            if result.ok:
                self.ok += 1
            else:
                self.failed += 1
            for child in self._children.pop(result.number, ()):
                if child.number in self._succeeded:
                    continue  # Already dropped, because another parent failed.
                child.missing -= 1
                if not result.ok:
                    self._succeeded[child.number] = False
                    self._drop(self, child.number, child.turn)
                    ended.append(TurnResult(number=child.number, ok=False, text=""))
                elif not child.missing:
                    self._ready(child.number, child.turn)

    def _add_turns(self, turns: Turn | tuple[Turn, ...] | None) -> None:
        for turn in (turns,) if isinstance(turns, Turn) else turns or ():
            if not isinstance(turn, Turn):
                raise TypeError(f"expected a Turn, got {type(turn).__name__}")
            number = self.turns
            self.turns += 1
            parents = set(turn.parents)
            if any(not 0 <= parent < number for parent in parents):
                raise ValueError(f"turn {number} waits for a turn that is not an earlier one")
            missing = [parent for parent in parents if parent not in self._succeeded]
            if not all(self._succeeded.get(parent, True) for parent in parents):
                self._drop(self, number, turn)
                self._ended(TurnResult(number=number, ok=False, text=""))
            elif missing:
                waiting = _Waiting(number, turn, len(missing))
                for parent in missing:
                    self._children.setdefault(parent, []).append(waiting)
            else:
                self._ready(number, turn)

    def _ready(self, number: int, turn: Turn) -> None:
        self.open += 1
        self._send(self, number, turn)
