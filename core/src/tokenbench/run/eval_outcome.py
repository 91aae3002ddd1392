"""From a score to a verdict on accuracy."""

from __future__ import annotations

import attrs

from tokenbench.api import Accuracy, AccuracyThreshold, EvalOutcome, EvalScore
from tokenbench.measure.accuracy import judge, questions_needed, wilson
from tokenbench.measure.sequential import Progress, certain_counts, certain_verdict
from tokenbench.plan.plan import PlannedEval


@attrs.frozen(kw_only=True)
class Asked:
    """`questions`: how many the eval has. `unanswered`: how many asked questions got no answer.
    `confidence`: that of a gate, which may not have asked all questions; otherwise None.
    """

    questions: int
    unanswered: int = 0
    confidence: float | None = None


def outcome(score: EvalScore, planned: PlannedEval, deployment: str, asked: Asked) -> EvalOutcome:
    """The score with its interval and the verdict against the threshold.

    Unanswered questions count as wrong in the value and at the lower end of the interval, and as
    right at its upper end. So a verdict holds for any answers to them. If a gate stopped early,
    interval and verdict are those over all questions.
    """
    n = score.n + asked.unanswered
    value = score.value if not asked.unanswered else score.correct / n
    threshold = _applies(planned.threshold, score)
    minimum = threshold.minimum if threshold is not None else None
    stopped = n < asked.questions and asked.confidence is not None
    accuracy = Accuracy.NOT_RUN
    if stopped and asked.confidence is not None:
        progress = Progress(
            total=asked.questions, asked=n, right=round(score.correct), unanswered=asked.unanswered
        )
        least, most = certain_counts(progress, asked.confidence)
        interval = wilson(least, asked.questions)[0], wilson(most, asked.questions)[1]
        if minimum is not None:
            verdict = certain_verdict(progress, minimum, asked.confidence)
            accuracy = verdict or Accuracy.UNDECIDED
    else:
        interval = wilson(score.correct, n)[0], wilson(score.correct + asked.unanswered, n)[1]
        if minimum is not None:
            accuracy = judge(interval, minimum)
    undecided = minimum is not None and accuracy is Accuracy.UNDECIDED
    return attrs.evolve(
        _base(planned, threshold, deployment),
        metric=score.metric,
        value=value,
        n=n,
        unanswered=asked.unanswered,
        variant=score.variant,
        interval=interval,
        accuracy=accuracy,
        questions=asked.questions,
        confidence=asked.confidence if stopped else None,
        needed=questions_needed(value, minimum) if undecided and minimum is not None else None,
        others=score.others,
    )


def unsound(planned: PlannedEval, deployment: str, canary: str) -> EvalOutcome:
    """The outcome of an eval that was not run, because a canary found a fault of the server."""
    return attrs.evolve(
        _base(planned, planned.threshold, deployment), accuracy=Accuracy.FAIL, canary=canary
    )


def _base(
    planned: PlannedEval, threshold: AccuracyThreshold | None, deployment: str
) -> EvalOutcome:
    return EvalOutcome(
        eval=planned.name,
        deployment=deployment,
        metric="",
        value=None,
        n=0,
        variant="",
        interval=(0.0, 1.0),
        accuracy=Accuracy.NOT_RUN,
        threshold=None if threshold is None else threshold.minimum,
        threshold_source=None
        if threshold is None
        else ", ".join(filter(None, (threshold.source, threshold.date))),
        baseline=None if threshold is None else threshold.baseline,
        baseline_source=None if threshold is None else threshold.baseline_source,
        twin_settings=planned.twin_settings,
    )


def _applies(threshold: AccuracyThreshold | None, score: EvalScore) -> AccuracyThreshold | None:
    if threshold is None or not score.variant.startswith(threshold.variant or ""):
        return None
    return threshold
