"""What a check of a candidate found, and the log that keeps tracebacks."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import Any

import attrs

from .discovery import Candidate


@attrs.frozen(kw_only=True)
class Broken:
    """Why a candidate cannot be used: the stage it failed at, and what was said.

    Stages, in order: ``api`` (its API version does not fit), ``import``, ``register`` (pluggy
    refuses its hooks, or its registration hook fails), ``hooks`` (a hook that does not exist),
    ``spec`` (what it registered is not what its kind needs). `log` is the file with the traceback.
    """

    stage: str
    message: str
    hint: str
    log: Path | None = None


@attrs.frozen(kw_only=True)
class Loaded:
    """A candidate that can be used. `capabilities` as it declares them, plain data."""

    capabilities: dict[str, Any] = attrs.field(factory=dict)
    deprecated: tuple[str, ...] = ()


Outcome = Loaded | Broken


def keep_traceback(candidate: Candidate, error: BaseException) -> Path | None:
    """Append to the log of plugin failures; None where it cannot be written."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    file = folder / "tokenbench" / "plugins.log"
    timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    head = (
        f"{timestamp} {candidate.kind} {candidate.key} {candidate.version} ({candidate.module})\n"
    )
    text = "".join(traceback.format_exception(error))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"{head}{text}\n")
    except OSError:
        return None
    return file
