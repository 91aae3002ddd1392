"""Encodes the turns of sessions, and hands them on when they are due."""

from __future__ import annotations

from collections.abc import Callable

from tokenbench.api import Codec, Target, Turn

from .request_state import Asked
from .session_file import asked_of
from .session_state import SessionState
from .target_url import TargetUrl
from .timers import Timers

# Turns are encoded while they wait for their delay, up to this size together.
_MAX_ENCODED_BYTES = 64 * 1024 * 1024
_NS_PER_S = 1_000_000_000

Dispatch = Callable[[SessionState, int, int, bytes, Asked, int], None]
"""Sends a request: session and its number, turn, bytes, `Asked`, scheduled time."""


class TurnSender:
    """Encodes the turns of sessions while they wait for their delays, then sends them.

    `possible_ns`: when the next turn became possible, its scheduled time without think time. `cut`:
    nothing more is sent. `labels`: those of the turns so far.

    Args:
        failed: called with the codec's exception.
    """

    def __init__(
        self,
        codec: Codec,
        target: Target,
        target_url: TargetUrl,
        timers: Timers,
        *,
        dispatch: Dispatch,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._codec, self._target, self._target_url = codec, target, target_url
        self._timers = timers
        self._dispatch, self._failed = dispatch, failed
        self._encoded_bytes = 0
        self.possible_ns = 0
        self.cut = False
        self.labels: set[str] = set()

    def send(self, state: SessionState, number: int, turn: Turn) -> None:
        """Send a turn whose parents have succeeded."""
        scheduled_ns = self.possible_ns
        if self.cut:
            return
        if turn.delay_s <= 0:
            self._send(state, number, turn, scheduled_ns, None)
            return
        scheduled_ns += int(turn.delay_s * _NS_PER_S)
        encoded = None
        if self._encoded_bytes < _MAX_ENCODED_BYTES:
            encoded = self._encode(turn)
            self._encoded_bytes += len(encoded or b"")
        self._timers.call_at(
            scheduled_ns, self._send_delayed, state, number, turn, scheduled_ns, encoded
        )

    def asked(self, turn: Turn) -> Asked:
        """See :func:`.session_file.asked_of`; also notes the label."""
        if turn.label is not None:
            self.labels.add(turn.label)
        return asked_of(turn)

    def _send_delayed(
        self, state: SessionState, number: int, turn: Turn, scheduled_ns: int, encoded: bytes | None
    ) -> None:
        self._encoded_bytes -= len(encoded or b"")
        self._send(state, number, turn, scheduled_ns, encoded)

    def _send(
        self, state: SessionState, number: int, turn: Turn, scheduled_ns: int, encoded: bytes | None
    ) -> None:
        if self.cut:
            return
        http_bytes = self._encode(turn) if encoded is None else encoded
        if http_bytes is not None:
            state.dispatched(scheduled_ns)
            asked = self.asked(turn)
            self._dispatch(state, state.number, number, http_bytes, asked, scheduled_ns)

    def _encode(self, turn: Turn) -> bytes | None:
        """A turn as bytes; None after an error, which ends the phase."""
        try:
            return self._target_url.http_bytes(self._codec.encode(turn, self._target))
        except BaseException as error:
            self._failed(error)
            return None
