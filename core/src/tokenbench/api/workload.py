"""What is asked of a server: sessions of turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import attrs

from .frozen import FrozenMap
from .model import Tokenizer


@attrs.frozen
class TokenPrompt:
    """A prompt as token ids, for servers that take them: lengths are exact."""

    ids: tuple[int, ...]


@attrs.frozen
class TextPrompt:
    """A prompt as plain text for a completions endpoint."""

    text: str


@attrs.frozen
class Message:
    """One message of a chat."""

    role: str
    content: str


@attrs.frozen
class ChatPrompt:
    """A prompt as messages; the server applies its chat template."""

    messages: tuple[Message, ...]


Prompt = TokenPrompt | TextPrompt | ChatPrompt


@attrs.frozen(kw_only=True)
class Turn:
    """One exchange to be made.

    `n_in`: tokens of the prompt as asked (chat template not counted), None where unknown.
    `max_tokens`: output limit; with `exact_output` the answer must have exactly that many tokens.
    `delay_s`: think or tool time after the last of its parents ended (or after the session began).
    `parents`: numbers of the session's turns that must have ended before; turns are numbered from 0
    in the order in which the session returned them. Two turns with one parent are a fork, one turn
    with two parents a join.
    `affinity`: turns with the same key should reach the same replica, where a router can do that.
    """

    prompt: Prompt
    max_tokens: int
    exact_output: bool = False
    n_in: int | None = None
    delay_s: float = 0.0
    parents: tuple[int, ...] = ()
    affinity: str | None = None
    temperature: float = 0.0
    seed: int | None = None
    extra_body: FrozenMap[str | int | float | bool | tuple[str, ...] | None] = FrozenMap()


@attrs.frozen(kw_only=True)
class TurnResult:
    """What came back of a turn, as its session sees it. `ok` is False when it failed."""

    number: int
    ok: bool
    text: str
    n_in: int | None = None
    n_out: int | None = None


class Session(ABC):
    """A conversation. Picklable; runs in a load worker between stamps, on the client's time."""

    __slots__ = ()

    one_turn = False
    """True: the turn does not depend on anything and is encoded before the clock starts."""

    @abstractmethod
    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        """The turn, or turns, that become possible once `previous` ended.

        Called with None to begin, then once for each ended turn. Several turns are a fork; None or
        an empty tuple means nothing more from this branch. The session is over when no turn is in
        flight and none is waiting. A session with `one_turn` is asked once, before the clock
        starts. Once a stop rule of the phase holds, nothing more is asked.
        """


@attrs.frozen
class SingleTurn(Session):
    """A plain request: a session of one turn."""

    turn: Turn
    one_turn = True

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The turn, once."""
        return self.turn if previous is None else None


@attrs.frozen(kw_only=True)
class WorkloadContext:
    """What a workload may know about the other side.

    `tokenizer` is None where the model has none on this machine (then lengths are by estimate or
    by the server's usage). `token_ids`: the server takes token-id prompts. `chat`: requests go
    through a chat template. `data` is the folder for data sets the user brought.
    """

    tokenizer: Tokenizer | None
    token_ids: bool
    chat: bool
    context_tokens: int | None = None
    data: str | None = None


class Workload(ABC):
    """Makes sessions. The same context, options and seed always give the same sessions."""

    def context_tokens(self) -> int | None:
        """The largest context (input and output tokens) any session needs; None if unknown."""
        return None

    def dataset_hash(self) -> str | None:
        """SHA-256 of the data behind it, None for a workload without a data set."""
        return None

    @abstractmethod
    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """An endless, or at least long, stream of sessions. Pure but for reading data files."""
