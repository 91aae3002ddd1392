"""Level 2: evals. Questions are deterministic, and answers are graded correctly."""

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
    PluginContext,
    Question,
    UsageError,
)
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.answers import API_KEY, eval_environment, eval_server
from tokenbench_testing.subprocess_call import call_in_subprocess

_SEED = 11
_BATCH = 3
_HEAVY = frozenset({"torch", "lm_eval", "datasets", "transformers", "pandas", "pyarrow", "numpy"})


def _eval(subject: Subject) -> Eval:
    """A new instance; skips if data or an extra that it needs is missing."""
    try:
        made: Eval = subject.create()
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"could not create it here: {error.message}")
    return made


def _questions(made: Eval, seed: int = _SEED) -> list[Question]:
    with eval_environment():
        try:
            return list(made.questions(seed))
        except (UsageError, OptionalFeatureMissing) as error:
            skip(f"could not load its questions: {error.message}")


def _ask(made: Eval, batch: Sequence[Question], answer: str) -> list[EvalSample]:
    with eval_server(answer) as server:
        return list(made.ask(batch, server))


def _samples(subject: Subject, answer: str = "42") -> tuple[Eval, list[EvalSample]]:
    """An eval with samples: the author's, or a few questions with the same answer."""
    made = _eval(subject)
    given = [
        pair for key in ("right", "wrong", "unparseable") for pair in subject.data.get(key) or ()
    ]
    if given:
        return made, [_graded(subject, *pair) for pair in given]
    questions = _questions(made)
    return made, _ask(made, questions[:_BATCH], answer)


def _graded(subject: Subject, question: Question, sample: EvalSample) -> EvalSample:
    """The author's sample, or, if it has no score, the result of asking the question.

    Uses a new instance: as in the worker, each instance has one server.
    """
    if sample.score is not None:
        return sample
    made = _eval(subject)
    every = {one.id: one for one in _questions(made)}
    (graded,) = _ask(made, [every.get(question.id, question)], sample.answer)
    return graded


@check(2, "eval")
def needs_are_pure(subject: Subject) -> None:
    """`needs()` is pure: two instances with the same options have the same needs.

    To fix: compute it from the options alone.
    """
    made = _eval(subject)
    if not made.needs() == made.needs() == _eval(subject).needs():
        fail("a second call of needs() gives a different result")


@check(2, "eval")
def needs_are_valid(subject: Subject) -> None:
    """`needs()` names a codec. Its context is None or at least one token.

    To fix: `codec` is the name of a codec, ``openai-chat`` by default.
    """
    needs = _eval(subject).needs()
    if not isinstance(needs, EvalNeeds) or not needs.codec.strip():
        fail(f"needs() names no codec: {needs!r}")
    if needs.context_tokens is not None and needs.context_tokens < 1:
        fail(f"context_tokens: {needs.context_tokens}")


def _imported(factory: Callable[..., Eval], options: Any) -> list[str]:
    """Heavy modules that `needs()` imports, beside those of the kit itself."""
    before = set(sys.modules)
    factory(options, PluginContext()).needs()
    return sorted((_HEAVY & set(sys.modules)) - before)


@check(2, "eval")
def needs_are_light(subject: Subject) -> None:
    """Creating the eval and calling `needs()`, as `bench plan` does, imports no harness.

    To fix: import the harness in the function that loads the questions.
    """
    _eval(subject)
    if found := call_in_subprocess(_imported, subject.spec.factory, subject.options):
        fail(f"needs() imports {', '.join(found)}")


@check(2, "eval")
def questions_are_deterministic(subject: Subject) -> None:
    """With the same seed, two instances ask the same questions in the same order.

    To fix: sample with ``random.Random(seed)`` from a list in a fixed order.
    """
    if _questions(_eval(subject)) != _questions(_eval(subject)):
        fail(f"two instances with seed {_SEED} ask different questions")


@check(2, "eval")
def questions_exist(subject: Subject) -> None:
    """There is at least one question, and each has an id and a text.

    To fix: remove empty items from the data.
    """
    questions = _questions(_eval(subject))
    if not questions:
        fail("it has no questions")
    for number, question in enumerate(questions):
        if not question.id or not question.text.strip():
            fail(f"question {number} has no id or no text: {question!r}")


@check(2, "eval")
def question_ids_are_unique(subject: Subject) -> None:
    """Question ids are unique: samples are matched by them.

    To fix: number the items, or remove duplicates from the data.
    """
    ids = [question.id for question in _questions(_eval(subject))]
    twice = {one for one in ids if ids.count(one) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        fail(f"two questions have the id {min(twice)!r}")


@check(2, "eval")
def answers_are_in_order(subject: Subject) -> None:
    """`ask()` returns one sample per question, in the order of the batch.

    To fix: ``zip(batch, answers, strict=True)``.
    """
    made = _eval(subject)
    batch = _questions(made)[:_BATCH][::-1]
    found = [sample.question for sample in _ask(made, batch, "42")]
    if found != [question.id for question in batch]:
        fail(f"asked {[question.id for question in batch]}, got answers to {found}")


@check(2, "eval")
def answers_are_kept_in_full(subject: Subject) -> None:
    """A sample contains the full answer, so that it can be graded again.

    To fix: put the whole text into `answer`; extracted parts belong in `details`.
    """
    made = _eval(subject)
    answer = "I count 17 apples, dear reader."
    for sample in _ask(made, _questions(made)[:1], answer):
        if sample.answer.strip() != answer:
            fail(f"the server answered {answer!r}, the sample has {sample.answer!r}")


@check(2, "eval")
def failures_are_not_answers(subject: Subject) -> None:
    """If the server gives no answer, `ask()` raises: core counts the question as unanswered.

    To fix: do not catch the errors of `server.generate()`; never make up a sample.
    """
    made = _eval(subject)
    batch = _questions(made)[:1]
    with eval_server("42", fails=True) as server:
        try:
            samples = list(made.ask(batch, server))
        except Exception:
            return
    fail(f"the server gave no answer, and ask() returned {[one.answer for one in samples]}")


@check(2, "eval")
def api_key_is_not_stored(subject: Subject) -> None:
    """Samples do not contain the API key: they are stored.

    To fix: use `server.api_key` only for the request's header.
    """
    made = _eval(subject)
    for sample in _ask(made, _questions(made)[:1], "42"):
        if API_KEY in repr(sample) or any(API_KEY in text for text in sample.details.values()):
            fail(f"the sample of {sample.question!r} contains the API key")


@check(2, "eval")
def empty_answers_are_graded(subject: Subject) -> None:
    """An empty answer is asked for and graded without an error, and is not correct.

    To fix: an answer without the expected pattern scores 0.
    """
    made = _eval(subject)
    score = made.score(_ask(made, _questions(made)[:_BATCH], ""))
    if score.correct:
        fail(f"empty answers score {score.correct:g} of {score.n}")


@check(2, "eval")
def no_samples_give_no_score(subject: Subject) -> None:
    """Without samples `score()` returns n = 0 and does not raise: a run may stop before the first
    answer.

    To fix: do not divide by the number of samples if it is 0.
    """
    score = _eval(subject).score([])
    if score.n or score.correct:
        fail(f"without samples: n {score.n}, correct {score.correct:g}")


@check(2, "eval")
def scores_are_fractions(subject: Subject) -> None:
    """`value` is between 0 and 1, and equals `correct` / `n`.

    To fix: divide percentages by 100; `correct` is the sum of the samples' scores.
    """
    made, samples = _samples(subject)
    score = made.score(samples)
    if not (0 <= score.value <= 1 and 0 <= score.correct <= score.n):
        fail(f"value {score.value}, correct {score.correct} of {score.n}")
    if score.n and not math.isclose(score.value, score.correct / score.n, abs_tol=1e-9):
        fail(f"value {score.value}, but {score.correct:g} of {score.n} are correct")


@check(2, "eval")
def every_sample_counts(subject: Subject) -> None:
    """`n` is the number of samples: an answer that cannot be parsed is wrong, not excluded.

    To fix: ``n=len(samples)``.
    """
    made, samples = _samples(subject, "no idea")
    if (n := made.score(samples).n) != len(samples):
        fail(f"n is {n} for {len(samples)} samples")


@check(2, "eval")
def scores_name_metric_and_variant(subject: Subject) -> None:
    """`metric` and `variant` are not empty: scores of different variants are not comparable.

    To fix: use the task's name and version, with the number of examples in the prompt.
    """
    made, samples = _samples(subject)
    score = made.score(samples)
    if not score.metric.strip() or not score.variant.strip():
        fail(f"metric {score.metric!r}, variant {score.variant!r}")


@check(2, "eval")
def scores_are_pure(subject: Subject) -> None:
    """`score()` is pure: the same samples give the same score, also with another instance.

    To fix: count in local variables, not in the eval.
    """
    made, samples = _samples(subject)
    if not made.score(samples) == made.score(samples) == _eval(subject).score(samples):
        fail("a second call of score() gives a different score")


def _value(score: EvalScore) -> tuple[float, float]:
    return (round(score.value, 9), round(score.correct, 9))


@check(2, "eval")
def sample_order_does_not_matter(subject: Subject) -> None:
    """The order of samples does not change the score: a resumed run has another order.

    To fix: find a sample's item by `sample.question`, not by its position.
    """
    made, samples = _samples(subject)
    if _value(made.score(samples)) != _value(made.score(samples[::-1])):
        fail("the same samples in reverse order give a different score")


def _check_scores(subject: Subject, key: str, expected: float, why: str) -> None:
    pairs = subject.want(key, why)
    made = _eval(subject)
    for question, sample in pairs:
        score = made.score([_graded(subject, question, attrs.evolve(sample, question=question.id))])
        if score.value != expected:
            fail(f"{question.id}: {sample.answer!r} scores {score.value:g}, expected {expected:g}")


@check(2, "eval")
def right_answers_score_one(subject: Subject) -> None:
    """Each of the author's `right` answers scores 1.

    To fix: compare the part that the grading extracts with the data.
    """
    _check_scores(subject, "right", 1.0, "answers that score 1")


@check(2, "eval")
def wrong_answers_score_zero(subject: Subject) -> None:
    """Each of the author's `wrong` answers scores 0.

    To fix: as for right answers; a pattern that matches anywhere matches too much.
    """
    _check_scores(subject, "wrong", 0.0, "answers that score 0")


@check(2, "eval")
def unparseable_answers_score_zero(subject: Subject) -> None:
    """Each of the author's `unparseable` answers scores 0 without an exception.

    To fix: return 0 if the pattern is not found.
    """
    _check_scores(subject, "unparseable", 0.0, "answers without the expected pattern")
