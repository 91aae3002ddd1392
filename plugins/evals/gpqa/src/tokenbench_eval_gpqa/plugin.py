"""Registers the eval `gpqa`."""

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
class GpqaOptions:
    """Options of the eval."""

    data: str | None = option(
        default=None,
        identity=False,
        help="gpqa_diamond.csv as its authors distribute it, or JSON lines with the same columns; "
        "default: the file in the variable TOKENBENCH_GPQA",
    )
    limit: int | None = option(
        default=None,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed selects them, stratified by domain",
    )
    max_tokens: int = option(default=2048, minimum=1, unit="tokens", help="output limit")
    shuffle_seed: int = option(
        default=0, minimum=0, help="seed of the order of choices, part of the variant"
    )


def _make(options: GpqaOptions, context: PluginContext) -> Eval:
    from .task import GpqaEval

    return GpqaEval(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="gpqa",
            summary="GPQA, questions of experts with four choices, from the user's file",
            options=GpqaOptions,
            factory=_make,
            thresholds=(
                AccuracyThreshold(
                    eval="gpqa",
                    minimum=0.3,
                    source="InferenceX, utils/evals/thresholds.yaml@2289a2e, default",
                    date="2026-11-30",
                ),
            ),
        )
    ]
