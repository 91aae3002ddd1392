"""What ATOM's log says: why a start failed, and what a start does.

The messages are read in its source (messages.json names it); no
failure was run.
"""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files

from tokenbench.api import Diagnosis


@functools.cache
def _messages() -> tuple[tuple[tuple[re.Pattern[str], str, str], ...], ...]:
    text = files(__package__).joinpath("messages.json").read_text(encoding="utf-8")
    found = json.loads(text)
    return tuple(
        tuple((re.compile(r[0], re.MULTILINE), r[1], r[2] if len(r) > 2 else "") for r in found[k])
        for k in ("failures", "phases")
    )


def diagnose(log: str) -> Diagnosis | None:
    """The cause of a failure; None if the log has no message that is known."""
    for pattern, cause, hint in _messages()[0]:
        match = pattern.search(log)
        if match is not None:
            return Diagnosis(cause=cause.format(*match.groups()), hint=hint)
    return None


def phase(log: str) -> str | None:
    """What the newest known message says; None before any."""
    found = [
        (matches[-1].start(), words.format(*matches[-1].groups()))
        for pattern, words, _ in _messages()[1]
        if (matches := list(pattern.finditer(log)))
    ]
    return max(found)[1] if found else None
