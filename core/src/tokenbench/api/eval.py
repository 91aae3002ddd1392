"""Evals: questions, answers, and a score that is compared with a threshold."""

from __future__ import annotations

import collections
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from .frozen import FrozenMap
from .workload import ChatPrompt, TextPrompt, ToolCall


@attrs.frozen(kw_only=True)
class EvalNeeds:
    """What an eval needs from a server. If the measured deployment cannot provide it, the plan adds
    an eval twin that differs only in the required settings.

    `codec`: name of the codec for the questions, whatever codec the workload uses; the server must
    serve it. `context_tokens` covers prompt and answer. `logprobs`: the eval reads prompt
    log-probabilities. `real_acceptance`: drafts of speculative decoding must be verified by the
    model: with a simulated acceptance rate, answers are not the model's. False only for an eval
    that does not judge answers.
    """

    codec: str = "openai-chat"
    context_tokens: int | None = None
    logprobs: bool = False
    real_acceptance: bool = True


@attrs.frozen(kw_only=True)
class Question:
    """One item. `id` is stable across versions of the plugin; `text` is for display, and tells two
    runs apart whose questions have the same ids. `stratum`: the group of questions it belongs to,
    such as its subject; see :func:`stratified_subset`.
    """

    id: str
    text: str
    stratum: str = ""


def stratified_subset(
    questions: Sequence[Question], limit: int | None, seed: int
) -> tuple[Question, ...]:
    """`limit` questions, drawn without replacement so that each stratum has its share of them, to
    about one question. All of them, as they are, if there are no more than that.

    The same arguments give the same questions; a larger limit adds questions.
    """
    if limit is None or limit >= len(questions):
        return tuple(questions)
    dice = random.Random(seed)
    strata: dict[str, list[Question]] = collections.defaultdict(list)
    for question in questions:
        strata[question.stratum].append(question)
    placed = []
    for stratum in sorted(strata):
        members = strata[stratum]
        dice.shuffle(members)
        # Evenly over the whole order, from a random start: any first part has a fair share.
        start = dice.random()
        placed += [((i + start) / len(members), dice.random(), q) for i, q in enumerate(members)]
    placed.sort(key=lambda one: one[:2])
    return tuple(question for *_, question in placed[:limit])


@attrs.frozen(kw_only=True)
class EvalSample:
    """One answer. `question` is the id of the question. `score`, in [0, 1], is set if a harness
    graded the answer while asking; otherwise :meth:`Eval.score` grades it. `details`: what was
    extracted from the answer, or anything else that explains the score.
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
    is reported as ``not run``, with its interval. `others`: other metrics of the same answers, by
    name, for information.
    """

    metric: str
    value: float
    n: int
    correct: float
    variant: str
    others: FrozenMap[float] = FrozenMap()


@attrs.frozen(kw_only=True)
class Generation:
    """One generation request of an eval; greedy unless `temperature` is set. `stop` is sent as the
    field ``stop``. `extra_body`: more fields of the request's body, for example ``top_p``.
    """

    prompt: ChatPrompt | TextPrompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int | None = None
    extra_body: FrozenMap[Any] = FrozenMap()


@attrs.frozen(kw_only=True)
class Answer:
    """The answer to a generation request. `text` has neither reasoning nor tool calls.

    `finish`: why it ended, in the protocol's word (``stop``, ``length``, ``tool_calls``), None if
    the codec does not tell. `tokens`: generated tokens, reasoning included, None if unknown.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    tokens: int | None = None


class EvalClient(Protocol):
    """The server as an eval sees it, in the eval worker's process."""

    @property
    def base_url(self) -> str:
        """URL without a path, for harnesses with their own HTTP client. Prefer :meth:`generate`:
        what is asked otherwise is not asked again after a failure, nor kept before it is graded.
        """

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
        """The texts of :meth:`answers`."""

    def answers(self, requests: Sequence[Generation]) -> Sequence[Answer]:
        """The answers, in order. Each is on disk as soon as it is there.

        A request that fails because the connection or the stream breaks or times out, or with 429
        or 503 (408, 502 and 504, by which a proxy reports such a failure), is sent again, up to
        four times, with growing pauses; ``Retry-After`` is respected up to a minute. An answer is
        never asked for again, whatever it is.

        Raises:
            EngineError: a request got no answer even so. Do not catch it: core asks each question
                of the batch alone then, with the answers that are there, and counts the question
                that has none as unanswered.
        """


class Eval(ABC):
    """One task. Runs in its own process, so heavy imports do not disturb a measurement."""

    @abstractmethod
    def needs(self) -> EvalNeeds:
        """What the server must provide. Pure and fast: called while planning."""

    @abstractmethod
    def questions(self, seed: int) -> Sequence[Question]:
        """The items to ask. If the options limit their number, `seed` selects them
        (:func:`stratified_subset`).
        """

    @abstractmethod
    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """Answers to a batch, one sample per question, in order. Core chooses the order of all
        questions and the size of a batch, may stop between batches, and may ask questions of a
        batch again, one by one.

        Each instance is used with one server only.
        """

    @abstractmethod
    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """Grade and aggregate the samples. Pure: the same samples give the same score. `correct` of
        several samples is the sum of what each of them alone gives: core grades them one by one,
        to stop early and to compare two runs question by question. Core adds the questions that
        got no answer.
        """
