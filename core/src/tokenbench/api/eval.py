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
    """`limit` questions, drawn without replacement: each stratum has its share, to within about one
    question. All questions, in order, if there are no more than `limit`.

    The same arguments give the same questions; a larger limit adds questions.
    """
    if limit is None or limit >= len(questions):
        return tuple(questions)
    rng = random.Random(seed)
    strata: dict[str, list[Question]] = collections.defaultdict(list)
    for question in questions:
        strata[question.stratum].append(question)
    placed = []
    for stratum in sorted(strata):
        members = strata[stratum]
        rng.shuffle(members)
        # Evenly over the whole order, from a random start: any first part has a fair share.
        start = rng.random()
        placed += [((i + start) / len(members), rng.random(), q) for i, q in enumerate(members)]
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

    `finish`: why it ended, in the protocol's words (``stop``, ``length``, ``tool_calls``), None if
    the codec does not report it. `tokens`: generated tokens, reasoning included, None if unknown.
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
        core neither retries nor stores other requests.
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
        """The answers, in order. Each is written to disk as soon as it arrives.

        If the connection or the stream breaks or times out, or the status is 408, 429, 502, 503 or
        504, the request is sent again, up to four times, with growing pauses; ``Retry-After`` is
        respected up to a minute. A complete answer is never asked for again.

        Raises:
            EngineError: a request got no answer. Do not catch it: core then asks the questions of
                the batch one by one, reuses the answers it has, and counts a question without one
                as unanswered.
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
        """Grade and aggregate the samples. Pure: the same samples give the same score. `correct`
        must equal the sum over samples that are scored one by one: core does so to stop early and
        to compare two runs question by question. Core adds unanswered questions.
        """
