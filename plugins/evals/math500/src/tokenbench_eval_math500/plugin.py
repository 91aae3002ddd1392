"""Registers the eval `math500`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, PluginContext, hookimpl, option, options


@options
class Math500Options:
    """Options of the eval."""

    data: str | None = option(
        default=None,
        identity=False,
        help="file with the problems, JSON lines with problem, solution, subject and level "
        "(openai/prm800k, math_splits); default: the file in the variable TOKENBENCH_MATH500",
    )
    limit: int | None = option(
        default=None,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed selects them, stratified by subject and level",
    )
    max_tokens: int = option(default=2048, minimum=1, unit="tokens", help="output limit")
    reasoning: bool = option(
        default=False, help="the model reasons first: stop strings apply only to the answer"
    )


def _make(options: Math500Options, context: PluginContext) -> Eval:
    from .task import make

    return make(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="math500",
            summary="MATH-500, competition mathematics, through lm-evaluation-harness",
            options=Math500Options,
            factory=_make,
        )
    ]
