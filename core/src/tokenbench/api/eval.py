"""Evals: questions, answers, and a score that is compared with a threshold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import attrs

from .frozen import FrozenMap
from .workload import ChatPrompt, TextPrompt


@attrs.frozen(kw_only=True)
class EvalNeeds:
    """What an eval needs from a server. If the measured deployment cannot provide it, the plan adds
    an eval twin that differs only in the required settings.

    `codec`: name of the codec for the questions, whatever codec the workload uses; the server must
    serve it. `context_tokens` covers prompt and answer. `logprobs`: the eval reads prompt
    log-probabilities. `real_acceptance`: speculative decoding must use its real acceptance rate,
    not a simulated one; core does not use it yet.
    """

    codec: str = "openai-chat"
    context_tokens: int | None = None
    logprobs: bool = False
    real_acceptance: bool = False


@attrs.frozen(kw_only=True)
class Question:
    """One item. `id` is stable across versions of the plugin; `text` is for display."""

    id: str
    text: str


@attrs.frozen(kw_only=True)
class EvalSample:
    """One answer. `question` is the id of the question. `score` is set if a harness graded the
    answer while asking; otherwise :meth:`Eval.score` grades it. `details`: what was extracted from
    the answer, or anything else that explains the score.
    """

    question: str
    answer: str
    score: float | None = None
    details: FrozenMap[str] = FrozenMap()


@attrs.frozen(kw_only=True)
class EvalScore:
    """The result over all samples: `value` in [0, 1], `correct` the sum of the samples' scores.
    `metric` names what is scored, such as ``exact_match``.

    `variant` names the task variant and version: scores of different variants are not comparable.
    The score is judged against the model's :class:`AccuracyThreshold` for this eval; without one it
    is reported as ``not run``, with its interval.
    """

    metric: str
    value: float
    n: int
    correct: float
    variant: str


@attrs.frozen(kw_only=True)
class Generation:
    """One generation request of an eval; greedy unless `temperature` is set."""

    prompt: ChatPrompt | TextPrompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int | None = None


class EvalServer(Protocol):
    """The server as an eval sees it, in the eval worker's process."""

    @property
    def base_url(self) -> str:
        """URL without a path, for harnesses with their own HTTP client."""

    @property
    def model(self) -> str:
        """The served model name."""

    @property
    def concurrency(self) -> int:
        """The largest number of questions in flight: not more than the server's concurrency."""

    @property
    def scratch(self) -> str:
        """A folder for caches, removed after the run."""

    @property
    def api_key(self) -> str | None:
        """The API key from the environment, None without one. Never store or print it."""

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The answers, in order. Raises EngineError if the server does not answer."""


class Eval(ABC):
    """One task. Runs in its own process, so heavy imports do not disturb a measurement."""

    @abstractmethod
    def needs(self) -> EvalNeeds:
        """What the server must provide. Pure and fast: called while planning."""

    @abstractmethod
    def questions(self, seed: int) -> Sequence[Question]:
        """The items to ask. If the options limit their number, `seed` selects them."""

    @abstractmethod
    def ask(self, batch: Sequence[Question], server: EvalServer) -> Sequence[EvalSample]:
        """Answers to a batch, one sample per question, in order. Core may stop between batches.

        Each instance is used with one server only.
        """

    @abstractmethod
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """Grade and aggregate the samples. Pure: the same samples give the same score."""
