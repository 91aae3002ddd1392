"""The outcome of checking a candidate, and the log for tracebacks."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import attrs

from tokenbench.paths import state_folder

from .discovery import Candidate


@attrs.frozen(kw_only=True)
class Broken:
    """Why a candidate cannot be used: the failed stage, with message and hint.

    Stages, in order: ``api`` (API version mismatch), ``import``, ``register`` (pluggy rejects its
    hooks, or its registration hook fails), ``hooks`` (unknown or unmarked hook), ``spec`` (invalid
    spec), ``duplicate`` (another distribution registers the name). `log` is the file with the
    traceback.
    """

    stage: str
    message: str
    hint: str
    log: Path | None = None


@attrs.frozen(kw_only=True)
class Loaded:
    """A usable candidate. `capabilities`: as declared, as plain data."""

    capabilities: dict[str, Any] = attrs.field(factory=dict)
    deprecated: tuple[str, ...] = ()


Outcome = Loaded | Broken


def log_traceback(candidate: Candidate, error: BaseException) -> Path | None:
    """Append a traceback to the plugin log and return its path; None if it cannot be written."""
    timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    head = (
        f"{timestamp} {candidate.kind} {candidate.key} {candidate.version} ({candidate.module})\n"
    )
    text = "".join(traceback.format_exception(error))
    try:
        file = state_folder() / "plugins.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"{head}{text}\n")
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder.
        return None
    return file
