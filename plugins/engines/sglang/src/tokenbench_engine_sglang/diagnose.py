"""What the logs of SGLang and its router say: why a start failed, and what a start does. The
messages are in ``causes.json``.
"""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from typing import Any

from tokenbench.api import Diagnosis

_MODEL = re.compile(
    r"server_args=.*?'model_path': '([^']*)'|couldn't connect.*?'([\w.-]+/[\w.-]+)'"
)
_PORT = re.compile(r"server_args=.*?'port': (\d+)")
# The last line of a traceback, of SGLang's logger or of Python.
_RAISED = re.compile(r"^((?:[\w.]+\.)?\w+(?:Error|Exception)): (.+)$", re.MULTILINE)
# Exceptions that only repeat that another process failed or was killed.
_ECHO = re.compile(
    r"Initialization failed|initialization failed|Rank \d+ scheduler|died|CancelledError"
)
_KILLED = re.compile(
    r"(?:Rank \d+ scheduler|scheduler|detokenizer|[Ss]ubprocess)\b[^\n]*?"
    r"(?:died|exited|dead)[^\n]*?(?:exit ?code|code)[^\n\d-]*(-?\d+)",
    re.IGNORECASE,
)


@functools.cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        files(__package__).joinpath("causes.json").read_text(encoding="utf-8")
    )
    return found


def diagnose(log: str) -> Diagnosis | None:
    """Why SGLang died, by the end of its log; None if the log does not say."""
    names = {"model": _named(_MODEL, log, "asked for"), "port": _named(_PORT, log, "asked for")}
    for rule in _data()["causes"]:
        found = re.search(rule["pattern"], log, re.MULTILINE)
        if found is not None:
            groups = [group.strip() if group else "" for group in found.groups()]
            return Diagnosis(
                cause=_short(rule["cause"].format(*groups, **names)),
                hint=_short(rule["hint"].format(*groups, **names)),
            )
    return _raised(log) or _killed(log)


def _raised(log: str) -> Diagnosis | None:
    for found in _RAISED.finditer(log):
        if not _ECHO.search(found[2]):
            name = found[1].rpartition(".")[2]
            return Diagnosis(cause=_short(f"SGLang failed with {name}: {found[2]}"))
    return None


def _killed(log: str) -> Diagnosis | None:
    """A process that says nothing was killed."""
    found = _KILLED.search(log)
    if found is None:
        return None
    return Diagnosis(
        cause=f"a process of SGLang ended with exit code {found[1]}, and the server with it",
        hint="-9: probably the host is out of memory; then `dmesg` names the process",
    )


def _named(pattern: re.Pattern[str], log: str, otherwise: str) -> str:
    found = pattern.search(log)
    return otherwise if found is None else found[1]


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def phase(log: str) -> str | None:
    """What an SGLang that is starting does, by the latest message that tells; None if none does."""
    latest, words = -1, None
    for pattern, phrase in _data()["phases"]:
        for found in re.finditer(pattern, log):
            if found.start() > latest:
                latest, words = found.start(), phrase.format(*found.groups())
    return words
