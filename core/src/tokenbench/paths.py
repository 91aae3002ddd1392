"""Where tokenbench keeps files of its own (XDG Base Directory Specification 0.8)."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Calibrations and logs. Raises RuntimeError where the user has no home folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tokenbench"


def cache_folder() -> Path:
    """Files that can be created again. Raises RuntimeError where the user has no home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenbench"
