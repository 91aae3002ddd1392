"""How long a call into a plugin may take, by kind of call."""

from __future__ import annotations

import functools
import math
import os

from tokenbench.api import UsageError

VARIABLE = "TOKENBENCH_PLUGIN_LIMITS_S"
"""Environment variable with other limits: ``server=300,data=600``, or ``all=600``."""
ALL = "all"

LIMITS_S = {
    # Loading.
    "import": 60.0,
    "register": 10.0,
    "options": 10.0,
    "factory": 60.0,
    # Pure functions, and what only computes.
    "pure": 30.0,
    # Reads files: data sets, tokenizers, hashes.
    "data": 120.0,
    # Devices and their drivers.
    "device": 60.0,
    # Requests to a running server; each request is limited to 5 s by core.
    "server": 30.0,
    # One session or one turn.
    "item": 60.0,
    # A cluster may queue an allocation for hours; images and weights may be copied at the start.
    "allocate": 86_400.0,
    "start": 3600.0,
    "stop": 120.0,
    # Evals: loading of questions, one batch without the time of the server, the score.
    "questions": 600.0,
    "ask": 1800.0,
    "score": 600.0,
    "render": 120.0,
    "observe": 10.0,
    # Checks of the conformance kit: levels 0 to 2, and those that start servers.
    "check": 120.0,
    "long-check": 1800.0,
}


def limit_s(kind: str) -> float:
    """The limit of a kind of call.

    Raises:
        UsageError: the environment variable is invalid.
    """
    changed = _changed(os.environ.get(VARIABLE, ""))
    return changed.get(kind, changed.get(ALL, LIMITS_S[kind]))


@functools.cache
def _changed(text: str) -> dict[str, float]:
    found = {}
    for part in filter(None, text.split(",")):
        kind, _, seconds = (word.strip() for word in part.partition("="))
        try:
            found[kind] = float(seconds)
        except ValueError:
            found[kind] = 0.0
        if not 0 < found[kind] < math.inf or kind not in (ALL, *LIMITS_S):
            raise UsageError(
                f"{VARIABLE}: expected KIND=SECONDS, got {part!r}",
                hint=f"kinds of calls: {', '.join((ALL, *LIMITS_S))}",
            )
    return found
