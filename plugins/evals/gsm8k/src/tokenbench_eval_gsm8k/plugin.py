"""Registers the eval `gsm8k`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    AccuracyThreshold,
    Eval,
    EvalSpec,
    PluginContext,
    hookimpl,
    option,
    options,
)


@options
class Gsm8kOptions:
    """Options of the eval."""

    data: str | None = option(
        default=None,
        identity=False,
        help="file with the test questions, JSON lines with question and answer "
        "(openai/grade-school-math); default: the file in the variable TOKENBENCH_GSM8K",
    )
    limit: int | None = option(
        default=None,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed selects them, stratified by number of steps",
    )
    shots: int = option(default=5, help="worked examples in the prompt: 0, 5 or 8")
    filter: str = option(
        default="flexible",
        choices=("strict", "flexible"),
        help="graded number: strict (after ####) or flexible (the last); the other score is also "
        "shown",
    )
    reasoning: bool = option(
        default=False, help="the model reasons first: stop strings apply only to the answer"
    )
    max_tokens: int = option(default=512, minimum=1, unit="tokens", help="output limit")


def _make(options: Gsm8kOptions, context: PluginContext) -> Eval:
    from .task import make

    return make(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="gsm8k",
            summary="GSM8K, grade school mathematics, through lm-evaluation-harness",
            options=Gsm8kOptions,
            factory=_make,
            thresholds=(
                AccuracyThreshold(
                    eval="gsm8k",
                    minimum=0.9,
                    source="InferenceX, utils/evals/thresholds.yaml@2289a2e, default",
                    date="2026-11-30",
                ),
            ),
        )
    ]
