"""Calls the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def answers(
    model: Any, task: Any, name: str, indices: Sequence[int], *, chat: bool = True
) -> list[Mapping[str, Any]]:
    """The rows of these documents: answers, filtered answers, metrics.

    Args:
        chat: prompts are messages.
    """
    from lm_eval.evaluator import evaluate

    done = evaluate(
        lm=model,
        task_dict={"tasks": {name: task}},
        # Sorted, because lm-eval 0.4.13 asks documents in ascending order but labels them in
        # the given order: samples=[2, 0, 3] labels document 0 "2".
        samples={name: sorted(indices)},
        log_samples=True,
        apply_chat_template=chat,
        # Like the harness's command line with a chat template: examples are turns.
        fewshot_as_multiturn=chat,
        bootstrap_iters=0,
    )
    rows: list[Mapping[str, Any]] = done["samples"][name]
    return rows
