"""When an answer is right: its first line holds an accepted answer as whole words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NO_WORD = re.compile(r"[^\w₂]+")


def is_right(answer: str, accepted: Sequence[str]) -> bool:
    """Whether `answer` gives one of the accepted answers.

    Only the first line that is not blank counts, so that a model which lists everything it knows
    gains little; case and punctuation do not count.
    """
    first = next((line for line in answer.splitlines() if line.strip()), "")
    words = f" {_plain(first)} "
    return any(f" {_plain(one)} " in words for one in accepted)


def _plain(text: str) -> str:
    return _NO_WORD.sub(" ", text.lower()).strip()
