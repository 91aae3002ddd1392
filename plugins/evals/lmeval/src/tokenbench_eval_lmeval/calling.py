"""Asking through the harness, with its failures in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenbench.api import EngineError


def answers(model: Any, task: Any, name: str, indices: Sequence[int]) -> list[Mapping[str, Any]]:
    """The rows of these documents: answers, filtered answers, metrics.

    Raises:
        EngineError: the server did not answer, or answered with an error.
    """
    import aiohttp
    import requests
    from lm_eval.evaluator import evaluate

    try:
        done = evaluate(
            lm=model,
            task_dict={"tasks": {name: task}},
            # In ascending order: it walks the documents in that order and labels them in ours
            # (lm-eval 0.4.13: samples=[2, 0, 3] calls document 0 "2").
            samples={name: sorted(indices)},
            log_samples=True,
            apply_chat_template=True,
            # As the harness's own command line does with a chat template: examples are turns.
            fewshot_as_multiturn=True,
            bootstrap_iters=0,
        )
    except (aiohttp.ClientError, requests.RequestException, TimeoutError) as error:
        raise EngineError(
            f"the server did not answer a question: {type(error).__name__}: {error}",
            hint="see the server's log",
        ) from error
    rows: list[Mapping[str, Any]] = done["samples"][name]
    return rows
