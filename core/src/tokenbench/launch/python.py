"""Starts our own modules so that files in the current folder cannot replace imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def module_command(module: str, *args: str) -> list[str]:
    """The command that runs a module with this interpreter.

    ``-m`` alone would put the current folder first: a file ``queue.py`` there would replace the
    standard library's.
    """
    return [sys.executable, "-P", "-m", module, *args]


def module_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for it: without the empty entries of PYTHONPATH, which mean the current
    folder. ``PYTHONPATH=$PYTHONPATH:folder`` leaves one if the variable was not set.
    """
    made = dict(os.environ if environment is None else environment)
    if "PYTHONPATH" in made:
        made["PYTHONPATH"] = os.pathsep.join(filter(None, made["PYTHONPATH"].split(os.pathsep)))
    return made


def without_current_folder(path: list[str], environment: Mapping[str, str]) -> list[str]:
    """The module search path of this process without the current folder, unless PYTHONPATH names
    it.
    """
    try:
        here = Path.cwd()
    except OSError:  # Deleted.
        return [part for part in path if part]
    parts = environment.get("PYTHONPATH", "").split(os.pathsep)
    if any(Path(part).resolve() == here for part in parts if part):
        return path
    return [part for part in path if part not in ("", str(here))]
