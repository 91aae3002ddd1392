"""Model, workload and eval; each call is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenbench.api import (
    COMPLETIONS,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    Generation,
    PluginContext,
    Question,
    Session,
    TextPrompt,
    Tokenizer,
    Turn,
    TurnResult,
    Workload,
    WorkloadContext,
    option,
    options,
)

from .notes import note

WORDS = ("<end>", "what", "is", "asked", "again")


class Words(Tokenizer):
    """A vocabulary of five words."""

    def __init__(self, path: str) -> None:
        note("ModelSpec.tokenizer", path=path)

    @property
    def vocab_size(self) -> int:
        return len(WORDS)

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset({0})

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(WORDS.index(word) for word in text.split())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(WORDS[i] for i in ids)


@options
class WorkloadOptions:
    """Properties of the workload and its sessions."""

    context: int = option(default=64, help="context that its sessions need; 0: unknown")
    data: str = option(default="hash of the data", help="result of dataset_hash()", identity=False)
    fails: bool = option(default=False, help="sessions raise at their second turn")
    one_turn: bool = option(default=False, help="sessions declare one_turn")


class Talk(Session):
    """Two turns; the second quotes the first answer."""

    def __init__(self, name: str, first: str, options: WorkloadOptions) -> None:
        self.name = name
        self.first = first
        self.fails = options.fails
        self.one_turn = options.one_turn

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        note("Session.next", session=self.name, previous=previous)
        if previous is None:
            return Turn(prompt=TextPrompt(self.first), max_tokens=3)
        if self.fails:
            raise RuntimeError("failed on purpose")
        if previous.number > 0 or self.one_turn:
            return None
        return Turn(prompt=TextPrompt(f"{previous.text} again"), max_tokens=2, parents=(0,))


class RecordingWorkload(Workload):
    """An endless stream of sessions."""

    def __init__(self, options: WorkloadOptions, context: PluginContext) -> None:
        self._options = options

    def context_tokens(self) -> int | None:
        note("Workload.context_tokens")
        return self._options.context or None

    def dataset_hash(self) -> str | None:
        note("Workload.dataset_hash")
        return self._options.data

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        facts = {name: getattr(context, name) for name in ("token_ids", "chat", "context_tokens")}
        text = "what is asked"
        if context.tokenizer is not None:
            tokens = context.tokenizer
            facts |= {"vocab_size": tokens.vocab_size, "special_ids": sorted(tokens.special_ids)}
            facts["ids"] = tokens.encode(text)
            text = facts["text"] = tokens.decode(facts["ids"])
        note("Workload.sessions", seed=seed, **facts)
        number = 0
        while True:
            yield Talk(f"{seed}-{number}", text, self._options)
            number += 1


@options
class EvalOptions:
    """Properties of the eval."""

    needs_context: int = option(default=32, help="context that a question needs")
    short: bool = option(default=False, help="ask() returns one answer too few")


class RecordingEval(Eval):
    """The right answer to question N has N words."""

    def __init__(self, options: EvalOptions, context: PluginContext) -> None:
        self._options = options

    def needs(self) -> EvalNeeds:
        note("Eval.needs")
        return EvalNeeds(codec=COMPLETIONS, context_tokens=self._options.needs_context)

    def questions(self, seed: int) -> Sequence[Question]:
        note("Eval.questions", seed=seed)
        return [Question(id=str(n), text=f"say {n} words") for n in range(1, 11)]

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        key = server.api_key
        note(
            "Eval.ask",
            batch=[q.id for q in batch],
            base_url=server.base_url,
            model=server.model,
            concurrency=server.concurrency,
            scratch=server.scratch,
            keyed=key is not None and key == os.environ.get("RECORDING_KEY"),
        )
        Path(server.scratch, f"cache-{batch[0].id}").touch()
        asked = [
            Generation(prompt=TextPrompt(q.text), max_tokens=int(q.id), stop=("!",), seed=5)
            for q in batch
        ]
        answers = server.generate(asked)
        samples = [
            EvalSample(question=q.id, answer=text) for q, text in zip(batch, answers, strict=True)
        ]
        return samples[:-1] if self._options.short else samples

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        answers = {s.question: s.answer for s in samples}
        note("Eval.score", answers=answers)
        right = sum(len(text.split()) == int(number) for number, text in answers.items())
        return EvalScore(
            metric="words", value=right / len(answers), n=len(answers), correct=right, variant="v1"
        )
