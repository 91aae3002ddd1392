"""Registers the eval `longcontext`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, PluginContext, hookimpl, option, options


@options
class LongContextOptions:
    """Options of the eval."""

    input_tokens: int = option(
        default=4096, minimum=128, unit="tokens", help="length of a prompt, to within about 20 %"
    )
    facts: int = option(
        default=8,
        minimum=1,
        unit="facts",
        help="numbers hidden in a text; the question asks for one",
    )
    limit: int = option(
        default=100,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed generates them",
    )
    max_tokens: int = option(default=64, minimum=1, unit="tokens", help="output limit")


def _make(options: LongContextOptions, context: PluginContext) -> Eval:
    from .task import LongContextEval

    return LongContextEval(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="longcontext",
            summary="finds one of several numbers in a long generated text; needs no data",
            options=LongContextOptions,
            factory=_make,
        )
    ]
