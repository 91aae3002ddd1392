"""Grades answers with the harness's maths verifier, in a process of its own.

The verifier limits its time with signals, which only the main thread of a process may use; an eval
is asked in another thread.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def process_results(document: Mapping[str, Any], results: list[str]) -> dict[str, int]:
    """The harness's grades of one answer: by equivalence and by equality of texts."""
    asked = {key: document[key] for key in ("solution", "answer")}
    return _pool().submit(_grade, asked, list(results)).result()


@functools.cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _grade(document: dict[str, Any], results: list[str]) -> dict[str, int]:
    from lm_eval.tasks.minerva_math.utils import process_results as grade

    found: dict[str, int] = grade(document, results)
    return found
