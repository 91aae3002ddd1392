"""What the logs of llm-d's programs and of Envoy say, by their sources: llm-d-router v0.10.0, and
Envoy 1.40.0, which ran (2026-12-01).
"""

from __future__ import annotations

import re

from tokenbench.api import Diagnosis

_RULES = tuple(
    (re.compile(pattern, re.MULTILINE), cause, hint)
    for pattern, cause, hint in (
        (
            r"^unknown (?:shorthand )?flag: (.+)",
            "this version of llm-d's program does not know the flag {0}",
            "leave it out; the plugin is written for llm-d-router v0.10.0",
        ),
        (
            r"file-discovery: initial load failed: (.+)",
            "the endpoint picker cannot use the list of workers: {0}",
            "it takes IPv4 addresses only: name hosts by theirs",
        ),
        (
            r"listen tcp [^\n]*:(\d+): bind: address already in use",
            "port {0} is in use by another program",
            "stop it, or leave the port to bench",
        ),
        (
            r"cannot bind '([^']+)': Address already in use",
            "{0} is in use by another program",
            "stop it, or leave the port to bench",
        ),
        (
            r"PARSE ERROR: Argument: (.+)",
            "Envoy does not know the argument {0}",
            "leave it out; `envoy --help` lists what it knows",
        ),
    )
)


def diagnose(log: str) -> Diagnosis | None:
    """The cause of a failure; None if these messages do not tell it."""
    for pattern, cause, hint in _RULES:
        found = pattern.search(log)
        if found is not None:
            return Diagnosis(cause=cause.format(*found.groups()), hint=hint)
    return None
