"""Registers the eval `toolcalls`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, PluginContext, hookimpl, option, options


@options
class ToolCallsOptions:
    """Options of the eval."""

    tools: int = option(
        default=4, minimum=1, unit="tools", help="tools offered in a request; one must be called"
    )
    choice: str = option(
        default="auto",
        choices=("auto", "required"),
        help="tool_choice of the request; auto: the model decides whether to call a tool",
    )
    limit: int = option(
        default=100,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed generates them",
    )
    max_tokens: int = option(default=512, minimum=1, unit="tokens", help="output limit")


def _make(options: ToolCallsOptions, context: PluginContext) -> Eval:
    from .task import ToolCallsEval

    return ToolCallsEval(options)


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="toolcalls",
            summary="tool calls with valid arguments for generated schemas; needs no data",
            options=ToolCallsOptions,
            factory=_make,
        )
    ]
