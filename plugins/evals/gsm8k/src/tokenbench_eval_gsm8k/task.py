"""GSM8K: the harness's own tasks, with questions from a local file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenbench_eval_lmeval.adapter import HarnessEval, HarnessTask, data_file

from tokenbench.api import FrozenMap, UsageError

from .examples import EXAMPLES

if TYPE_CHECKING:
    from .plugin import Gsm8kOptions

# Tasks of lm-eval 0.4.13 (all version 3.0), with their prompts, filters and metrics.
_TASKS = {0: "gsm8k_cot_zeroshot", 5: "gsm8k", 8: "gsm8k_cot"}
# The longest question has 240 tokens (vocabularies like GPT-2's), eight examples about 1,100.
_PROMPT_TOKENS = {0: 400, 5: 1200, 8: 1600}
_METRICS = {
    "strict": "exact_match,strict-match",
    "flexible": "exact_match,flexible-extract",
}


def make(options: Gsm8kOptions) -> HarnessEval:
    """Create the eval.

    Raises:
        UsageError: there is no data file, or the harness has no task for `shots`.
    """
    if options.shots not in _TASKS:
        raise UsageError(
            f"eval gsm8k: shots: expected 0, 5 or 8, got {options.shots}",
            hint="0: the question alone; 5 or 8: worked examples before the question",
        )
    file = data_file("gsm8k", options.data)
    files = {"train": str(file), "test": str(file)}
    overrides: dict[str, Any] = {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files},
    }
    if options.shots == len(EXAMPLES):
        # A split would take precedence.
        overrides["fewshot_split"] = None
        overrides["fewshot_config"] = {"sampler": "first_n", "samples": list(EXAMPLES)}
    return HarnessEval(
        HarnessTask(
            name=_TASKS[options.shots],
            stock="gsm8k",
            metric=_METRICS[options.filter],
            max_tokens=options.max_tokens,
            context_tokens=_PROMPT_TOKENS[options.shots] + options.max_tokens,
            overrides=FrozenMap(overrides),
            stratum=_steps,
            reasoning=options.reasoning,
        ),
        limit=options.limit,
    )


def _steps(document: Mapping[str, Any]) -> str:
    """How many steps the solution has: what makes a question hard."""
    return str(min(8, str(document["answer"]).count("<<")))
