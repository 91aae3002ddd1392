"""Level 2: evals. The same questions each time, and right answers score as right."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Eval,
    EvalNeeds,
    EvalSample,
    EvalScore,
    OptionalFeatureMissing,
    Question,
    UsageError,
)
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.answers import API_KEY, eval_environment, eval_server
from tokenbench.testing.subprocess_call import call_in_subprocess

_SEED = 11
_BATCH = 3
_HEAVY = frozenset({"torch", "lm_eval", "datasets", "transformers", "pandas", "pyarrow", "numpy"})


def _eval(subject: Subject) -> Eval:
    """A new instance; skips where the data or an extra that it needs is absent."""
    try:
        made: Eval = subject.spec.factory(subject.options)
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"it cannot be made here: {error.message}")
    return made


def _questions(made: Eval, seed: int = _SEED) -> list[Question]:
    with eval_environment():
        try:
            return list(made.questions(seed))
        except (UsageError, OptionalFeatureMissing) as error:
            skip(f"its questions are not here: {error.message}")


def _ask(made: Eval, batch: Sequence[Question], answer: str) -> list[EvalSample]:
    with eval_server(answer) as server:
        return list(made.ask(batch, server))


def _samples(subject: Subject, answer: str = "42") -> tuple[Eval, list[EvalSample]]:
    """An eval with samples: its author's, or else a few questions, all answered the same."""
    made = _eval(subject)
    given = [
        pair for key in ("right", "wrong", "unparseable") for pair in subject.data.get(key) or ()
    ]
    if given:
        return made, [_graded(subject, *pair) for pair in given]
    questions = _questions(made)
    return made, _ask(made, questions[:_BATCH], answer)


def _graded(subject: Subject, question: Question, sample: EvalSample) -> EvalSample:
    """The author's sample, or, where it was not graded on the spot, what asking makes of it.

    By an instance of its own: as in the worker, one instance has one server.
    """
    if sample.score is not None:
        return sample
    made = _eval(subject)
    every = {one.id: one for one in _questions(made)}
    (asked,) = _ask(made, [every.get(question.id, question)], sample.answer)
    return asked


@check(2, "eval")
def needs_are_pure(subject: Subject) -> None:
    """`needs()` is pure: two instances with the same options need the same.

    To fix: compute it from the options alone.
    """
    made = _eval(subject)
    if not made.needs() == made.needs() == _eval(subject).needs():
        fail("asked again, it needs something else")


@check(2, "eval")
def needs_are_valid(subject: Subject) -> None:
    """`needs()` names an endpoint, and a context that is None or at least one token.

    To fix: `endpoint` is the name of a codec, ``openai-chat`` by default.
    """
    needs = _eval(subject).needs()
    if not isinstance(needs, EvalNeeds) or not needs.codec.strip():
        fail(f"it names no endpoint: {needs!r}")
    if needs.context_tokens is not None and needs.context_tokens < 1:
        fail(f"context_tokens: {needs.context_tokens}")


def _imported(factory: Callable[[Any], Eval], options: Any) -> list[str]:
    """Heavy modules that stating the needs imports."""
    factory(options).needs()
    return sorted(_HEAVY & set(sys.modules))


@check(2, "eval")
def needs_are_light(subject: Subject) -> None:
    """Making the eval and asking what it needs, as `bench plan` does, imports no harness.

    To fix: import the harness in the function that loads the questions.
    """
    _eval(subject)
    if found := call_in_subprocess(_imported, subject.spec.factory, subject.options):
        fail(f"needs() imports {', '.join(found)}")


@check(2, "eval")
def questions_are_deterministic(subject: Subject) -> None:
    """Two instances ask the same questions, in the same order, for the same seed.

    To fix: draw with ``random.Random(seed)`` from a list in a fixed order.
    """
    if _questions(_eval(subject)) != _questions(_eval(subject)):
        fail(f"made twice with seed {_SEED}, the questions differ")


@check(2, "eval")
def questions_exist(subject: Subject) -> None:
    """There is at least one question, and each has an id and a text.

    To fix: leave empty items out of the data.
    """
    questions = _questions(_eval(subject))
    if not questions:
        fail("it has no question")
    for number, question in enumerate(questions):
        if not question.id or not question.text.strip():
            fail(f"question {number} has no id or no text: {question!r}")


@check(2, "eval")
def question_ids_are_unique(subject: Subject) -> None:
    """No two questions have one id: samples are matched by it.

    To fix: number the items, or drop duplicates from the data.
    """
    ids = [question.id for question in _questions(_eval(subject))]
    twice = {one for one in ids if ids.count(one) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        fail(f"two questions are called {min(twice)!r}")


@check(2, "eval")
def answers_are_in_order(subject: Subject) -> None:
    """`ask()` gives one sample a question, in the order of the batch, whatever that order is.

    To fix: ``zip(batch, answers, strict=True)``.
    """
    made = _eval(subject)
    batch = _questions(made)[:_BATCH][::-1]
    found = [sample.question for sample in _ask(made, batch, "42")]
    if found != [question.id for question in batch]:
        fail(f"asked {[question.id for question in batch]}, answered {found}")


@check(2, "eval")
def answers_are_kept_in_full(subject: Subject) -> None:
    """A sample holds what the server said, so that a reader can grade it again.

    To fix: put the whole text into `answer`; an extract belongs into `details`.
    """
    made = _eval(subject)
    said = "I count 17 apples, dear reader."
    for sample in _ask(made, _questions(made)[:1], said):
        if sample.answer.strip() != said:
            fail(f"the server said {said!r}, the sample {sample.answer!r}")


@check(2, "eval")
def api_key_is_not_stored(subject: Subject) -> None:
    """The server's key is in no sample: samples are stored.

    To fix: use `server.api_key` for the request's header and nothing else.
    """
    made = _eval(subject)
    for sample in _ask(made, _questions(made)[:1], "42"):
        if API_KEY in repr(sample) or any(API_KEY in text for text in sample.details.values()):
            fail(f"the answer to {sample.question!r} holds the server's key")


@check(2, "eval")
def empty_answers_are_graded(subject: Subject) -> None:
    """A model may say nothing: asking and scoring go on, and it is not right.

    To fix: an answer without the wanted pattern scores 0.
    """
    made = _eval(subject)
    score = made.score(_ask(made, _questions(made)[:_BATCH], ""))
    if score.correct:
        fail(f"answers without a word score {score.correct:g} of {score.n}")


@check(2, "eval")
def no_samples_give_no_score(subject: Subject) -> None:
    """Without samples `score()` gives n = 0 and does not raise: a run may be cut before the first.

    To fix: divide only where there is something to divide by.
    """
    score = _eval(subject).score([])
    if score.n or score.correct:
        fail(f"of no samples it says n {score.n}, correct {score.correct:g}")


@check(2, "eval")
def scores_are_fractions(subject: Subject) -> None:
    """`value` is between 0 and 1, and is the share of `correct` in `n`.

    To fix: divide percentages by 100; `correct` is the sum of the samples' scores.
    """
    made, samples = _samples(subject)
    score = made.score(samples)
    if not (0 <= score.value <= 1 and 0 <= score.correct <= score.n):
        fail(f"value {score.value}, correct {score.correct} of {score.n}")
    if score.n and not math.isclose(score.value, score.correct / score.n, abs_tol=1e-9):
        fail(f"value is {score.value}, but {score.correct:g} of {score.n} are correct")


@check(2, "eval")
def every_sample_counts(subject: Subject) -> None:
    """`n` is the number of samples: an answer that cannot be read is wrong, not left out.

    To fix: ``n=len(samples)``.
    """
    made, samples = _samples(subject, "no idea")
    if (n := made.score(samples).n) != len(samples):
        fail(f"of {len(samples)} samples it counts {n}")


@check(2, "eval")
def scores_name_metric_and_variant(subject: Subject) -> None:
    """`metric` and `variant` are not empty: scores of other variants must not be compared.

    To fix: the task's name and version, with the number of examples in the prompt.
    """
    made, samples = _samples(subject)
    score = made.score(samples)
    if not score.metric.strip() or not score.variant.strip():
        fail(f"metric {score.metric!r}, variant {score.variant!r}")


@check(2, "eval")
def scores_are_pure(subject: Subject) -> None:
    """The same samples give the same score, also of another instance: `score()` is pure.

    To fix: count in local variables, not in the eval.
    """
    made, samples = _samples(subject)
    if not made.score(samples) == made.score(samples) == _eval(subject).score(samples):
        fail("scored again, the same samples get another score")


def _value(score: EvalScore) -> tuple[float, float]:
    return (round(score.value, 9), round(score.correct, 9))


@check(2, "eval")
def sample_order_does_not_matter(subject: Subject) -> None:
    """Samples of a run that was stopped and continued come in another order.

    To fix: find a sample's item by `sample.question`, not by its place.
    """
    made, samples = _samples(subject)
    if _value(made.score(samples)) != _value(made.score(samples[::-1])):
        fail("the same samples backwards get another score")


def _each(subject: Subject, key: str, worth: float, why: str) -> None:
    pairs = subject.want(key, why)
    made = _eval(subject)
    for question, sample in pairs:
        score = made.score([_graded(subject, question, attrs.evolve(sample, question=question.id))])
        if score.value != worth:
            fail(f"{question.id}: {sample.answer!r} scores {score.value:g}, expected {worth:g}")


@check(2, "eval")
def right_answers_score_one(subject: Subject) -> None:
    """Each answer that its author calls right scores 1: asked of a server that answers so, or as
    graded in the sample.

    To fix: compare what the grading takes out of the answer with what the data say.
    """
    _each(subject, "right", 1.0, "answers that score 1")


@check(2, "eval")
def wrong_answers_score_zero(subject: Subject) -> None:
    """Each answer that its author calls wrong scores 0.

    To fix: as for right answers; a pattern that matches anywhere matches too much.
    """
    _each(subject, "wrong", 0.0, "answers that score 0")


@check(2, "eval")
def unparseable_answers_score_zero(subject: Subject) -> None:
    """Each answer that its author calls unparseable scores 0, and raises nothing.

    To fix: give 0 where the pattern is not found.
    """
    _each(subject, "unparseable", 0.0, "answers without an answer in them")
