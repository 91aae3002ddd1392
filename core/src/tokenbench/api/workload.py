"""Workloads: sessions of turns that are sent to a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import attrs

from .fitted import FittedWords
from .frozen import FrozenMap
from .model import Tokenizer


@attrs.frozen
class TokenPrompt:
    """A prompt as token ids, for servers that accept them: lengths are exact."""

    ids: tuple[int, ...]


@attrs.frozen
class TextPrompt:
    """A prompt as plain text, for a completions endpoint."""

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
    """One request of a session.

    `n_in`: tokens of the prompt without chat template, None if unknown. `max_tokens`: output limit;
    with `exact_output` the answer must have exactly that many tokens. `delay_s`: think or tool
    time, counted from the end of its last parent (or from the session's start). `parents`: numbers
    of the turns of this session that must have ended before; turns are numbered from 0 in the order
    in which the session returned them. Two turns with one parent are a fork, one turn with two
    parents a join. `affinity`: turns with the same key should reach the same replica; core does not
    use it yet. `temperature` 0 is greedy. `seed` is sent if the dialect claims it. `extra_body`:
    fields that the codec adds to this request.
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
    """The result of a turn, as its session sees it.

    `ok` is False if the turn failed. `text` is the answer, which later turns may quote; reasoning
    and tool calls (names and arguments) are apart from it.
    """

    number: int
    ok: bool
    text: str
    n_in: int | None = None
    n_out: int | None = None
    reasoning: str = ""
    tool_calls: str = ""


class Session(ABC):
    """A conversation. Picklable. Runs inside a load worker: slow code there delays timestamps.

    The load worker imports the module that defines the class. `concurrency` and `rate` count
    sessions: with a rate of 1, one conversation begins per second, whatever its later turns do.
    """

    __slots__ = ()

    one_turn = False
    """True: the only turn depends on nothing and is encoded before the clock starts."""

    @abstractmethod
    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        """The turn, or turns, that become ready after `previous` ended.

        Called with None at the start, then once for each ended turn. Several turns are a fork; None
        or an empty tuple ends this branch. The session ends when no turn is in flight and none is
        waiting. With `one_turn` it is called only once, before the clock starts. It is not called
        after a stop rule of the phase applies.
        """


@attrs.frozen
class SingleTurn(Session):
    """A session of one turn: a plain request."""

    turn: Turn
    one_turn = True

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The turn, once."""
        return self.turn if previous is None else None


@attrs.frozen(kw_only=True)
class WorkloadContext:
    """What a workload knows about the server and the data.

    `tokenizer` is None if the model has none on this machine. A workload that then sets `n_in` on a
    text prompt asks for an exact length: core measures words on the server and calls it again with
    `fitted`, from whose words it composes its text. `fitted` is None if the server's counts do not
    follow the text and the user accepts approximate lengths. `token_ids`: the server accepts
    token-id prompts. `chat`: requests use a chat template. `context_tokens`: the context that the
    server was configured for, None if unknown. `data`: always None at present; take a file's path
    as an option.
    """

    tokenizer: Tokenizer | None
    token_ids: bool
    chat: bool
    context_tokens: int | None = None
    data: str | None = None
    fitted: FittedWords | None = None


class Workload(ABC):
    """Generates sessions. The same context, options and seed always give the same sessions."""

    def context_tokens(self) -> int | None:
        """The largest context (input and output tokens) that any session needs; None if unknown."""
        return None

    def dataset_hash(self) -> str | None:
        """SHA-256 of the data set; None for a workload without one."""
        return None

    @abstractmethod
    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """A long, preferably endless, stream of sessions. Pure, apart from reading data files.

        Each warm-up and repeat has a seed of its own. Before the first one, core takes one session
        of seed 0 per codec of the server, to choose the codec (see :class:`Dialect`).

        Raises:
            UsageError: it has no prompts for this context. Core asks again for the server's next
                codec; without one, the run ends with this error and exit code 2.
        """
