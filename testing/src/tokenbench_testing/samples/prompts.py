"""Contexts and prompts for workloads, and a simulated server side of a conversation."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import attrs

from tokenbench.api import (
    BatchPrompt,
    ChatPrompt,
    Message,
    Prompt,
    Session,
    TextPrompt,
    Tokenizer,
    TokenPrompt,
    Turn,
    TurnResult,
    WorkloadContext,
)

MAX_TURNS = 2000
CONTEXT_TOKENS = 131_072

_SPECIAL = ("<unk>", "<s>", "</s>")
_WORDS = tuple(" " + "".join(w) for w in itertools.product("bdfklmnprst", "aeiou", "dlmnrst"))
_FIRST_WORD = len(_SPECIAL) + 256
_PIECE = re.compile(rb" [a-z]+|.", re.DOTALL)


class SampleTokenizer(Tokenizer):
    """Three-letter words with a leading space are one token; everything else is bytes.

    As with real tokenizers, neighbours merge: decoding random ids and encoding the text again gives
    a different number of tokens.
    """

    def __init__(self) -> None:
        self._ids = {word.encode(): _FIRST_WORD + i for i, word in enumerate(_WORDS)}

    @property
    def vocab_size(self) -> int:
        """Special ids, bytes and words."""
        return _FIRST_WORD + len(_WORDS)

    @property
    def special_ids(self) -> frozenset[int]:
        """The first three ids."""
        return frozenset(range(len(_SPECIAL)))

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`."""
        found: list[int] = []
        for piece in _PIECE.findall(text.encode()):
            word = self._ids.get(piece)
            found += [word] if word is not None else [len(_SPECIAL) + byte for byte in piece]
        return tuple(found)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`."""
        return b"".join(map(self._bytes, ids)).decode(errors="replace")

    def _bytes(self, index: int) -> bytes:
        if not 0 <= index < self.vocab_size:
            raise ValueError(f"no such token id: {index}")
        if index < len(_SPECIAL):
            return _SPECIAL[index].encode()
        if index < _FIRST_WORD:
            return bytes([index - len(_SPECIAL)])
        return _WORDS[index - _FIRST_WORD].encode()


def contexts() -> tuple[WorkloadContext, ...]:
    """Every context that core can create: chat endpoints accept no token ids, and endpoints whose
    answers have no tokens have no chat template.
    """
    sides = [(False, False, True), (True, False, True), (False, True, True)]
    sides += [(True, False, False), (False, False, False)]
    return tuple(
        WorkloadContext(
            tokenizer=tokenizer,
            token_ids=ids,
            chat=chat,
            context_tokens=CONTEXT_TOKENS,
            tokens=tokens,
        )
        for tokenizer in (SampleTokenizer(), None)
        for ids, chat, tokens in sides
    )


PROMPTS: tuple[Prompt, ...] = (
    TextPrompt("Say hello to the world."),
    ChatPrompt((Message("system", "Be brief."), Message("user", 'Say "hello" to the wörld.'))),
    TokenPrompt((260, 261, 262)),
    BatchPrompt((TextPrompt("One text."), TextPrompt("Another text."))),
)


def texts(prompt: Prompt) -> tuple[str, ...]:
    """The texts of a prompt; none for token ids."""
    if isinstance(prompt, BatchPrompt):
        return tuple(one.text for one in prompt.inputs if isinstance(one, TextPrompt))
    if isinstance(prompt, TextPrompt):
        return (prompt.text,)
    if isinstance(prompt, ChatPrompt):
        return tuple(message.text for message in prompt.messages)
    return ()


def count(prompt: Prompt, tokenizer: Tokenizer) -> int:
    """Tokens of a prompt, without chat template."""
    if isinstance(prompt, TokenPrompt):
        return len(prompt.ids)
    if isinstance(prompt, BatchPrompt):
        return sum(count(one, tokenizer) for one in prompt.inputs)
    return sum(len(tokenizer.encode(text)) for text in texts(prompt))


@attrs.frozen
class Played:
    """The turns of a session, in order. `over`: it ended within :data:`MAX_TURNS` turns."""

    turns: tuple[Turn, ...]
    over: bool


def opening(session: Session) -> tuple[Turn, ...]:
    """The first turns of a session."""
    return _several(session.next(None))


def play(
    session: Session,
    *,
    fails: Callable[[int], bool] = lambda _number: False,
    between: Callable[[Session], Session] = lambda session: session,
) -> Played:
    """Run a conversation like the load worker does, one turn after the other.

    Every answer has the maximum length, in one-token words. A turn whose parent failed fails.

    Args:
        fails: whether the turn with this number fails.
        between: applied to the session before it receives the result of a turn.
    """
    turns = list(opening(session))
    waiting = list(enumerate(turns))
    ended: set[int] = set()
    failed: set[int] = set()
    while len(turns) <= MAX_TURNS:
        ready = next((item for item in waiting if ended.issuperset(item[1].parents)), None)
        if ready is None:
            return Played(tuple(turns), over=True)
        waiting.remove(ready)
        ended.add(ready[0])
        session = between(session)
        ok = not fails(ready[0]) and failed.isdisjoint(ready[1].parents)
        if not ok:
            failed.add(ready[0])
        more = _several(session.next(_answer(*ready, ok=ok)))
        waiting += enumerate(more, start=len(turns))
        turns += more
    return Played(tuple(turns), over=False)


def _answer(number: int, turn: Turn, *, ok: bool) -> TurnResult:
    if not ok:
        return TurnResult(number=number, ok=False, text="")
    text = _WORDS[number % len(_WORDS)] * turn.max_tokens
    return TurnResult(number=number, ok=True, text=text, n_in=turn.n_in, n_out=turn.max_tokens)


def _several(turns: Turn | tuple[Turn, ...] | None) -> tuple[Turn, ...]:
    return (turns,) if isinstance(turns, Turn) else turns or ()
