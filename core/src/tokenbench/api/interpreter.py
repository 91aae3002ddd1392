"""Engines in environments of their own: their interpreter, and what it has installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import UsageError

# Importing an engine takes ten seconds and more, its metadata 0.07 s.
_ASK = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_TIMEOUT_S = 20.0


def installed_version(python: str, distribution: str) -> str | None:
    """The version of a distribution in the environment of an interpreter; nothing of it is
    imported. None if it is not installed there, or the interpreter cannot be run.

    Args:
        python: a path, or a name on PATH.

    Raises:
        UsageError: there is no such interpreter.
    """
    # Most plugins need neither, and importing them takes time.
    import shutil
    import subprocess

    path = shutil.which(python)
    if path is None:
        raise UsageError(
            f"there is no interpreter {python!r}",
            hint=f"set the engine's option python to one that has {distribution} installed",
        )
    try:
        # From the root folder and with this variable, no file of the current folder is imported.
        done = subprocess.run(
            (path, "-c", _ASK, distribution),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            cwd="/",
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def interpreter_path(named: str | None) -> str:
    """The interpreter of an engine, wherever its process will run: None for that of this process.
    Symbolic links stay, by which Python finds its environment.
    """
    if named is None:
        return sys.executable
    return str(Path(named).expanduser().absolute()) if "/" in named else named
