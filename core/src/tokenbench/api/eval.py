"""Accuracy: questions, answers, a score, and the verdict against a threshold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import attrs

from .frozen import FrozenMap
from .workload import ChatPrompt, TextPrompt


@attrs.frozen(kw_only=True)
class EvalNeeds:
    """What an eval needs of a server. Where the measured deployment cannot meet it, the plan adds
    an eval twin that differs only in the settings listed.

    `codec` names the codec of the questions. `context_tokens` covers prompt and answer.
    `logprobs`: prompt log-probabilities are read. `real_acceptance`: speculative decoding must run
    with its real acceptance, not a simulated one.
    """

    codec: str = "openai-chat"
    context_tokens: int | None = None
    logprobs: bool = False
    real_acceptance: bool = False


@attrs.frozen(kw_only=True)
class Question:
    """One item. `id` is stable over versions of the plugin; `text` is what a reader sees."""

    id: str
    text: str


@attrs.frozen(kw_only=True)
class EvalSample:
    """One answer. `score` is set where a harness graded it on the spot, else score() grades."""

    question: str
    answer: str
    score: float | None = None
    details: FrozenMap[str] = FrozenMap()


@attrs.frozen(kw_only=True)
class EvalScore:
    """The result over samples: `value` in [0, 1], `correct` the sum of the samples' scores.

    `variant` names the task variant and version, because they change scores.
    """

    metric: str
    value: float
    n: int
    correct: float
    variant: str


@attrs.frozen(kw_only=True)
class Generation:
    """One text to be generated for an eval, greedily unless told otherwise."""

    prompt: ChatPrompt | TextPrompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int | None = None


class EvalServer(Protocol):
    """The server as an eval sees it, in the eval worker's process."""

    @property
    def base_url(self) -> str:
        """URL without a path, for harnesses that bring a client of their own."""

    @property
    def model(self) -> str:
        """The served model name."""

    @property
    def concurrency(self) -> int:
        """How many questions may be in flight."""

    @property
    def scratch(self) -> str:
        """A folder for caches, removed after the run."""

    @property
    def api_key(self) -> str | None:
        """The key to authorise with, from the environment; never store or print it."""

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The answers, in order. Raises EngineError if the server does not answer."""


class Eval(ABC):
    """One task. Runs in a process of its own, so heavy imports never touch a measurement."""

    @abstractmethod
    def needs(self) -> EvalNeeds:
        """What the server must offer. Pure and light: called while planning."""

    @abstractmethod
    def questions(self, seed: int) -> Sequence[Question]:
        """The items to ask, sampled by `seed` where the options limit them."""

    @abstractmethod
    def ask(self, batch: Sequence[Question], server: EvalServer) -> Sequence[EvalSample]:
        """Answers to a batch, one sample a question, in order. Core may stop between batches.

        One instance is asked with one server only.
        """

    @abstractmethod
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """Grade and sum up. Pure: the same samples give the same score."""
