"""Workloads: sessions of turns that are sent to a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import attrs

from .fitted import FittedWords
from .frozen import FrozenMap, JsonValue
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
class TextPart:
    """Text, as one of several parts of a message."""

    text: str


@attrs.frozen
class ImagePart:
    """An image in a message. `url`: an address, or the image itself as a ``data:`` URL."""

    url: str


Part = TextPart | ImagePart


@attrs.frozen(kw_only=True)
class ToolCall:
    """A call of a tool by a model. `arguments`: JSON text, as the model wrote it. `id`: what the
    message with the tool's answer refers to; empty if nothing does.
    """

    name: str
    arguments: str
    id: str = ""


@attrs.frozen
class Message:
    """One message of a chat. `tool_calls`: what an assistant called; `tool_call_id`: the call that
    a message of role ``tool`` answers.
    """

    role: str
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the content, without images."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


@attrs.frozen
class ChatPrompt:
    """A prompt as messages; the server applies its chat template. `tools`: schemas of the tools
    that the model may call, as the OpenAI API has them.
    """

    messages: tuple[Message, ...]
    tools: tuple[FrozenMap[JsonValue], ...] = ()


@attrs.frozen
class BatchPrompt:
    """Several inputs of one request whose answer has no tokens: texts to embed."""

    inputs: tuple[TokenPrompt | TextPrompt, ...]


Prompt = TokenPrompt | TextPrompt | ChatPrompt | BatchPrompt


@attrs.frozen(kw_only=True)
class Turn:
    """One request of a session.

    `n_in`: tokens of the prompt without chat template, None if unknown. `max_tokens`: output limit,
    0 for an answer without tokens (:class:`Codec`); with `exact_output` the answer must have
    exactly that many tokens. `delay_s`: think or tool
    time, counted from the end of its last parent (or from the session's start). `parents`: numbers
    of the turns of this session that must have succeeded before; turns are numbered from 0 in the
    order in which the session returned them. Two turns with one parent are a fork, one turn with
    two parents a join. A turn whose parent failed is not sent, and counts as failed.

    `label`: the class of traffic that the turn belongs to; objectives can be set for each class.
    `agent`: 0 for the session's own turns, another number for those of a sub-agent.
    `shared_tokens`: how many tokens of the prompt a prefix cache without limit would hold, after
    the sessions before it in the stream; None if unknown. `model`: the model name to send instead
    of the deployment's, for example a LoRA adapter's. `affinity`: turns with the same key should
    reach the same replica; it is sent if the dialect has a header for it. `temperature` 0 is
    greedy. `seed` is sent if the dialect claims it. `extra_body`: fields that the codec adds to
    this request; `headers`: headers that it adds, never secrets.
    """

    prompt: Prompt
    max_tokens: int
    exact_output: bool = False
    n_in: int | None = None
    delay_s: float = 0.0
    parents: tuple[int, ...] = ()
    label: str | None = None
    agent: int = 0
    shared_tokens: int | None = None
    model: str | None = None
    affinity: str | None = None
    temperature: float = 0.0
    seed: int | None = None
    extra_body: FrozenMap[JsonValue] = FrozenMap()
    headers: FrozenMap[str] = FrozenMap()


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


class SharedState:
    """Base class of what many sessions hold: a vocabulary, a document, a system prompt.

    A load worker gets each such object once, however many sessions refer to it. Sessions must not
    change it.
    """

    __slots__ = ()


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
        waiting. With `one_turn` it is called only once, before the clock starts. Once a stop rule
        of the phase applies, it is still called for turns in flight, but what it returns is not
        sent: the session was cut.
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
    token-id prompts. `chat`: requests use a chat template. `tokens`: answers have tokens; if not,
    `max_tokens` of every turn is 0. `context_tokens`: the context that the server was configured
    for, None if unknown. `primed`: the sessions of :meth:`Workload.priming` were sent before.
    `begin_inside`: how many of the first sessions should begin in their middle, with their earlier
    turns in the first prompt, as if the load had been running for long.
    """

    tokenizer: Tokenizer | None
    token_ids: bool
    chat: bool
    context_tokens: int | None = None
    fitted: FittedWords | None = None
    primed: bool = False
    begin_inside: int = 0
    tokens: bool = True


class Workload(ABC):
    """Generates sessions. The same context, options and seed always give the same sessions."""

    def context_tokens(self) -> int | None:
        """The largest context (input and output tokens) that any session needs; None if unknown."""
        return None

    def dataset_hash(self) -> str | None:
        """SHA-256 of the data set (:func:`data_hash`); None for a workload without one."""
        return None

    def arrivals_s(self) -> tuple[float, ...]:
        """When each session begins in the data, in seconds, ascending; empty if the data has no
        times.

        An open loop may follow them, faster or slower. A stream then begins with session 0.
        """
        return ()

    def priming(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """What fills the server's prefix cache before the sessions of the same seed are measured:
        their prefixes, each once, as sessions of one turn. Empty: nothing can be known beforehand.
        """
        return iter(())

    @abstractmethod
    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """A long, preferably endless, stream of sessions. Pure, apart from reading data files.

        Each warm-up and repeat has a seed of its own. Before the first one, core takes one session
        of seed 0 per codec of the server, to choose the codec (see :class:`Dialect`).

        Raises:
            UsageError: it has no prompts for this context. Core asks again for the server's next
                codec; without one, the run ends with this error and exit code 2.
        """
