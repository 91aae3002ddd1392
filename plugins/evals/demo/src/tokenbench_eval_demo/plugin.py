"""Registers the eval `demo`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, PluginContext, hookimpl, option, options


@options
class DemoOptions:
    """Options of the eval."""

    limit: int | None = option(
        default=None,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed selects them",
    )


def _make(options: DemoOptions, context: PluginContext) -> Eval:
    from .task import DemoEval

    return DemoEval(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="demo",
            summary="312 short questions that a small model passes and a damaged one fails",
            options=DemoOptions,
            factory=_make,
        )
    ]
