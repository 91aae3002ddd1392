"""Level 2: workloads that are not deterministic, or differ from their spec."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import attrs

from bad_plugins import factory_of
from tokenbench.api import (
    ChatPrompt,
    Message,
    NoOptions,
    Prompt,
    Session,
    SingleTurn,
    TextPrompt,
    TokenPrompt,
    Turn,
    TurnResult,
    UsageError,
    Workload,
    WorkloadContext,
    WorkloadSpec,
)
from tokenbench_testing.kit import Subject


class Plain(Workload):
    """Good: sessions of one turn, with ten words from its own generator."""

    def __init__(self, options: Any) -> None:
        self.seen: list[int] = []

    def context_tokens(self) -> int | None:
        return 64

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        draw = random.Random(seed)
        while True:
            yield self.session(self.turn(context, draw))

    def session(self, turn: Turn) -> Session:
        return SingleTurn(turn)

    def turn(self, context: WorkloadContext, draw: random.Random) -> Turn:
        prompt = self.prompt(context, draw)
        if isinstance(prompt, TokenPrompt):
            return self.finished(Turn(prompt=prompt, n_in=len(prompt.ids), max_tokens=4))
        text = prompt.text if isinstance(prompt, TextPrompt) else prompt.messages[0].content
        n_in = len(context.tokenizer.encode(text)) if context.tokenizer else None
        return self.finished(Turn(prompt=prompt, n_in=n_in, max_tokens=4))

    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True)

    def prompt(self, context: WorkloadContext, draw: random.Random) -> Prompt:
        if context.token_ids and context.tokenizer:
            return TokenPrompt(tuple(draw.choices(range(259, context.tokenizer.vocab_size), k=10)))
        text = "".join(draw.choices("bdfklm", k=24))
        return ChatPrompt((Message("user", text),)) if context.chat else TextPrompt(text)


@attrs.define
class Talk(Session):
    """Good: a fork of two after the first answer, and a join that quotes it. Ends on failure."""

    first: str
    said: str = ""
    ended: int = 0

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        if previous is None:
            return self.ask(self.first)
        if not previous.ok:
            return None
        self.ended += 1
        if self.ended == 1:
            self.said = previous.text
            return (self.ask("a?", parents=(0,)), self.ask("b?", parents=(0,), delay_s=0.5))
        if self.ended == 2:
            return self.ask("and?", parents=(1, 2))
        return None

    def ask(self, text: str, **more: Any) -> Turn:
        return Turn(prompt=TextPrompt(f"{self.first} {self.said} {text}"), max_tokens=8, **more)


class Conversation(Workload):
    """Good: sessions of four turns over a data set, with one topic each."""

    talk: type[Session] = Talk

    def __init__(self, options: Any) -> None:
        pass

    def dataset_hash(self) -> str | None:
        return "5" * 64

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        draw = random.Random(seed)
        for _ in range(300):
            yield self.talk(f"Topic {draw.randrange(100)}.")


class Choosy(Plain):
    """Good: serves only chats, and says so."""

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        if not context.chat:
            raise UsageError("it needs a chat endpoint", hint="choose another")
        return super().sessions(context, seed)


class NeedsTokenizer(Plain):
    def prompt(self, context: WorkloadContext, draw: random.Random) -> Prompt:
        context.tokenizer.encode("")
        return super().prompt(context, draw)


class Short(Plain):
    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        return itertools.islice(super().sessions(context, seed), 150)


class Silent(Talk):
    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        return None if self.first.startswith("Topic 3") else super().next(previous)


class SometimesSilent(Conversation):
    talk = Silent


class Forgetful(Plain):
    """Draws limits from the operating system's generator."""

    system = random.SystemRandom()

    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True, max_tokens=self.system.randint(1, 30))


class Hashing(Plain):
    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True, seed=hash(str(turn.prompt)))


class Global(Plain):
    """Seeds the global generator."""

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        random.seed(seed)
        while True:
            yield self.session(self.turn(context, random))


class Counting(Session):
    """Its turn depends on other sessions."""

    def __init__(self, turn: Turn, seen: list[int]) -> None:
        self.turn, self.seen = turn, seen

    def next(self, previous: TurnResult | None) -> Turn | None:
        if previous is not None:
            return None
        self.seen.append(1)
        return attrs.evolve(self.turn, seed=len(self.seen))


class Entangled(Plain):
    def session(self, turn: Turn) -> Session:
        return Counting(turn, self.seen)


class Shuffled(Plain):
    """The seed only shuffles a fixed list of prompts."""

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        fixed = random.Random(0)
        turns = [self.turn(context, fixed) for _ in range(20)]
        random.Random(seed).shuffle(turns)
        return (SingleTurn(turn) for turn in itertools.cycle(turns))


class Closure(Session):
    def __init__(self, turn: Turn) -> None:
        self.make = lambda: turn

    def next(self, previous: TurnResult | None) -> Turn | None:
        return self.make() if previous is None else None


class Unpicklable(Plain):
    def session(self, turn: Turn) -> Session:
        return Closure(turn)


class Amnesiac(Talk):
    """Pickles its initial state."""

    def __reduce__(self) -> Any:
        return (Amnesiac, (self.first, "" if self.ended else self.said, 2 if self.ended else 0))


class LosesItsPlace(Conversation):
    talk = Amnesiac


class Endless(Talk):
    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        more = super().next(previous)
        return self.ask("") if more is None and previous is not None and previous.ok else more


class NeverEnds(Conversation):
    talk = Endless


class Stubborn(Talk):
    """Retries without limit."""

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        return self.ask("") if previous is not None and not previous.ok else super().next(previous)


class TriesForEver(Conversation):
    talk = Stubborn


class Prophet(Talk):
    """Waits for a later turn."""

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        more = super().next(previous)
        return (
            more if not isinstance(more, tuple) else (more[0], attrs.evolve(more[1], parents=(5,)))
        )


class WaitsForLater(Conversation):
    talk = Prophet


class Greedy(Talk):
    one_turn = True

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        return super().next(previous)


class SaysOneTurn(Conversation):
    talk = Greedy


class Once(Session):
    """Returns its turn only once."""

    one_turn = True

    def __init__(self, turn: Turn) -> None:
        self.left = [turn]

    def next(self, previous: TurnResult | None) -> Turn | None:
        return self.left.pop() if self.left else None


class GivesOnce(Plain):
    def session(self, turn: Turn) -> Session:
        return Once(turn)


class Empty(Plain):
    """One prompt is empty."""

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        for number, session in enumerate(super().sessions(context, seed)):
            hollow = Turn(prompt=TextPrompt(""), n_in=0, max_tokens=seed + 1, exact_output=True)
            yield SingleTurn(hollow) if number == 10 and seed == 11 else session


class IdsForAll(Plain):
    def prompt(self, context: WorkloadContext, draw: random.Random) -> Prompt:
        return TokenPrompt(tuple(draw.choices(range(3, 300), k=10)))


class AllIds(Plain):
    """Uses special ids."""

    def prompt(self, context: WorkloadContext, draw: random.Random) -> Prompt:
        prompt = super().prompt(context, draw)
        return TokenPrompt((1, *prompt.ids)) if isinstance(prompt, TokenPrompt) else prompt


class Decoded(Plain):
    """Takes the number of ids for the length of their text."""

    def turn(self, context: WorkloadContext, draw: random.Random) -> Turn:
        turn = super().turn(context, draw)
        if context.token_ids or context.tokenizer is None:
            return turn
        return attrs.evolve(turn, n_in=turn.n_in + 1)


class NoAnswer(Plain):
    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True, max_tokens=0)


class Cramped(Plain):
    def context_tokens(self) -> int | None:
        return 12


class Backwards(Plain):
    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True, delay_s=-0.25)


class Nameless(Conversation):
    def dataset_hash(self) -> str | None:
        return "sharegpt-v3"


class PrimesNothing(Plain):
    """The spec says that it does."""


class SharesTooMuch(Plain):
    def finished(self, turn: Turn) -> Turn:
        return attrs.evolve(turn, exact_output=True, shared_tokens=3)


def _subject(made: type[Workload], **facts: Any) -> Subject:
    factory = factory_of(made)
    spec = WorkloadSpec(name="words", summary="words", factory=factory, options=NoOptions, **facts)
    return Subject(kind="workload", name="words", module=__name__, spec=spec, options=NoOptions())


def _plain(made: type[Workload]) -> Subject:
    return _subject(made)


def _talks(made: type[Workload]) -> Subject:
    return _subject(made, multi_turn=True)


GOOD = [_plain(Plain), _talks(Conversation), _plain(Choosy)]
BAD = {
    "every-context-is-served-or-rejected": _plain(NeedsTokenizer),
    "session-stream-is-long": _plain(Short),
    "sessions-begin-with-a-turn": _talks(SometimesSilent),
    "same-seed-same-sessions": _plain(Forgetful),
    "every-process-has-the-same-sessions": _plain(Hashing),
    "session-streams-are-independent": _plain(Global),
    "sessions-share-no-state": _plain(Entangled),
    "seeds-share-no-prompts": _plain(Shuffled),
    "sessions-pickle": _plain(Unpicklable),
    "sessions-pickle-between-turns": _talks(LosesItsPlace),
    "sessions-end": attrs.evolve(_talks(NeverEnds), data={"sessions": 1}),
    "sessions-end-after-failures": _talks(TriesForEver),
    "parents-are-earlier-turns": _talks(WaitsForLater),
    "multi-turn-is-as-declared": _talks(Plain),
    "one-turn-sessions-have-one-turn": _talks(SaysOneTurn),
    "one-turn-sessions-are-repeatable": _plain(GivesOnce),
    "prompts-are-not-empty": _plain(Empty),
    "prompts-fit-the-server": _plain(IdsForAll),
    "token-ids-exist": _plain(AllIds),
    "prompt-lengths-are-true": _plain(Decoded),
    "max-tokens-is-positive": _plain(NoAnswer),
    "context-is-large-enough": _plain(Cramped),
    "delays-are-not-negative": _plain(Backwards),
    "priming-is-as-declared": _subject(PrimesNothing, primes=True),
    "shared-tokens-are-possible": _plain(SharesTooMuch),
    "dataset-hash-is-valid": _talks(Nameless),
}
ALSO: dict[str, set[str]] = {
    # The operating system's generator gives different values at each call.
    "same-seed-same-sessions": {
        "sessions-pickle",
        "sessions-pickle-between-turns",
        "sessions-share-no-state",
    },
}
