"""Grading: an answer is right if its first line contains an accepted answer as whole words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NO_WORD = re.compile(r"[^\w₂]+")


def is_right(answer: str, accepted: Sequence[str]) -> bool:
    """Whether `answer` contains one of the accepted answers.

    Only the first non-blank line counts, so that listing everything gains little. Case and
    punctuation are ignored.
    """
    first = next((line for line in answer.splitlines() if line.strip()), "")
    words = f" {_plain(first)} "
    return any(f" {_plain(one)} " in words for one in accepted)


def _plain(text: str) -> str:
    return _NO_WORD.sub(" ", text.lower()).strip()
