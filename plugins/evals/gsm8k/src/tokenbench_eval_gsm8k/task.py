"""GSM8K as the harness's own tasks, with the questions from a local file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tokenbench_eval_lmeval.adapter import HarnessEval, HarnessTask

from tokenbench.api import FrozenMap, UsageError

if TYPE_CHECKING:
    from .plugin import Gsm8kOptions

DATA_VARIABLE = "TOKENBENCH_GSM8K"
# Stock tasks of lm-eval 0.4.13 (version 3.0 both): prompts, filters and metrics are theirs.
_TASKS = {0: "gsm8k_cot_zeroshot", 8: "gsm8k_cot"}
# Longest question 240 tokens (GPT-2 like vocabularies); eight worked examples about 1,100.
_PROMPT_TOKENS = {0: 400, 8: 1600}
_METRIC = "exact_match,flexible-extract"


def make(options: Gsm8kOptions) -> HarnessEval:
    """The eval.

    Raises:
        UsageError: the data file is not named, or the number of examples is neither 0 nor 8.
    """
    if options.shots not in _TASKS:
        raise UsageError(
            f"eval gsm8k: shots: expected 0 or 8, got {options.shots}",
            hint="0 asks the question alone, 8 puts worked examples before it",
        )
    file = _data(options.data)
    files = {"train": str(file), "test": str(file)}
    return HarnessEval(
        HarnessTask(
            name=_TASKS[options.shots],
            stock="gsm8k",
            metric=_METRIC,
            max_tokens=options.max_tokens,
            context_tokens=_PROMPT_TOKENS[options.shots] + options.max_tokens,
            overrides=FrozenMap(
                {
                    "dataset_path": "json",
                    "dataset_name": None,
                    "dataset_kwargs": {"data_files": files},
                }
            ),
        ),
        limit=options.limit,
    )


def _data(given: str | None) -> Path:
    name = given or os.environ.get(DATA_VARIABLE)
    if name is None:
        raise UsageError(
            "eval gsm8k: no data file is named",
            hint=f"gsm8k:data=gsm8k_test.jsonl, or set {DATA_VARIABLE}",
        )
    file = Path(name).expanduser()
    if not file.is_file():
        raise UsageError(f"eval gsm8k: there is no file {file}", hint="check data=")
    return file.resolve()
