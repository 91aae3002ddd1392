"""Registers the eval `lmeval`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Eval, EvalSpec, PluginContext, hookimpl, option, options


@options
class LmEvalOptions:
    """Options of the eval."""

    task: str = option(help="name of a task of lm-evaluation-harness that generates text")
    include: str | None = option(
        default=None, help="folder with your own task files (lm-eval's --include_path)"
    )
    limit: int | None = option(
        default=None,
        minimum=1,
        unit="questions",
        help="number of questions; the run's seed selects them",
    )
    metric: str | None = option(
        default=None,
        help="metric and filter to report (exact_match,strict-match); default: the first",
    )
    max_tokens: int = option(
        default=512, minimum=1, unit="tokens", help="output limit if the task has none"
    )
    endpoint: str = option(
        default="chat",
        choices=("chat", "completions"),
        help="chat (messages, with the server's chat template) or completions (plain text)",
    )
    reasoning: bool = option(
        default=False,
        help="the model reasons first: max_tokens replaces the task's limit, and stop strings "
        "apply only to the answer",
    )
    context_tokens: int = option(
        default=4096, minimum=1, unit="tokens", help="context for prompt and answer"
    )


def _make(options: LmEvalOptions, context: PluginContext) -> Eval:
    from .adapter import HarnessEval, HarnessTask

    return HarnessEval(
        HarnessTask(
            name=options.task,
            include=options.include,
            metric=options.metric,
            max_tokens=options.max_tokens,
            context_tokens=options.context_tokens,
            completions=options.endpoint == "completions",
            reasoning=options.reasoning,
        ),
        limit=options.limit,
    )


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    """The eval."""
    return [
        EvalSpec(
            name="lmeval",
            summary="any generation task of lm-evaluation-harness",
            options=LmEvalOptions,
            factory=_make,
        )
    ]
