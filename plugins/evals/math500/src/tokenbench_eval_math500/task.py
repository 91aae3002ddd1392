"""MATH-500: a task of the harness, with problems from a local file and its maths verifier."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenbench_eval_lmeval.adapter import HarnessEval, HarnessTask, data_file

from tokenbench.api import FrozenMap

from .verifier import process_results

if TYPE_CHECKING:
    from .plugin import Math500Options

# The longest problem has about 700 tokens, the four worked examples 700.
_PROMPT_TOKENS = 1600


def make(options: Math500Options) -> HarnessEval:
    """Create the eval.

    Raises:
        UsageError: there is no data file.
    """
    file = data_file("math500", options.data)
    return HarnessEval(
        HarnessTask(
            # lm-eval 0.4.13, version 3.1: answers are equal if the verifier finds them equivalent
            # (1/2 and 0.5); equality of texts is reported beside it.
            name="minerva_math500",
            stock="minerva_math",
            metric="math_verify,none",
            max_tokens=options.max_tokens,
            context_tokens=_PROMPT_TOKENS + options.max_tokens,
            overrides=FrozenMap(
                {
                    "dataset_path": "json",
                    "dataset_name": None,
                    "dataset_kwargs": {"data_files": {"test": str(file)}},
                    "process_results": process_results,
                }
            ),
            stratum=_stratum,
            reasoning=options.reasoning,
        ),
        limit=options.limit,
    )


def verifier_is_installed() -> bool:
    """Whether the packages of the harness's maths verifier are there."""
    return all(importlib.util.find_spec(name) for name in ("lm_eval", "math_verify", "antlr4"))


def _stratum(document: Mapping[str, Any]) -> str:
    return f"{document.get('subject')} {document.get('level')}"
