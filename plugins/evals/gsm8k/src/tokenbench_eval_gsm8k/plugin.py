"""Registers the eval `gsm8k`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, hookimpl, option, options


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
        default=None, minimum=1, unit="questions", help="how many; the run's seed selects them"
    )
    shots: int = option(default=0, help="examples in the prompt: 0, or 8 with worked answers")
    max_tokens: int = option(default=512, minimum=1, unit="tokens", help="output limit")


def _make(options: Gsm8kOptions) -> Eval:
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
        )
    ]
