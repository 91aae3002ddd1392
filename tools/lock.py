"""Pin every third-party package with its hashes: ``make lock``.

Reads the dependencies of `core` and of every `plugins/*/*` (so a new plugin needs no entry here)
and writes, without addresses and valid for every supported Python:

* ``requirements/build.txt``: what builds our distributions, and third-party source packages;
* ``requirements/run.txt``: what a run needs, with the extras that a plugin's
  ``[tool.tokenbench.lock] run-extras`` names;
* ``requirements/dev.txt``: the same pins, all extras, and the tools of development.

Packages listed in a plugin's ``[tool.tokenbench.lock] no-deps`` are pinned without what they
depend on. All files are installed with ``pip install --no-deps --require-hashes``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
BUILD = ("hatchling", "editables", "setuptools", "wheel")
TOOLS = (
    "build",
    "hypothesis",
    "import-linter",
    "mypy",
    "pytest",
    "pytest-timeout",
    "ruff",
    "towncrier",
    "twine",
    "types-pyyaml",
    "uvloop",  # for a floor in benchmarks
)
_NAME = re.compile(r"^[A-Za-z0-9_.-]+")


def main() -> None:
    """Write both files."""
    run, extras, no_deps = _gather()
    alone = _compile(sorted(no_deps), "--no-deps")
    pinned_run = _compile(sorted(run))
    with tempfile.TemporaryDirectory() as folder:
        constraint = Path(folder) / "run.txt"
        constraint.write_text(pinned_run)
        pinned_dev = _compile(sorted({*run, *extras, *TOOLS}), "-c", str(constraint))
        constraint.write_text(pinned_dev)
        pinned_build = _compile(sorted(BUILD), "-c", str(constraint))
    (ROOT / "requirements" / "build.txt").write_text(pinned_build)
    (ROOT / "requirements" / "run.txt").write_text(pinned_run + alone)
    (ROOT / "requirements" / "dev.txt").write_text(pinned_dev + alone)


def _gather() -> tuple[set[str], set[str], set[str]]:
    """Requirements of a run, of all extras, and those to be pinned alone."""
    run: set[str] = set()
    extras: set[str] = set()
    alone: set[str] = set()
    for file in (ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/*/pyproject.toml")):
        data = tomllib.loads(file.read_text())
        lock: dict[str, Any] = data.get("tool", {}).get("tokenbench", {}).get("lock", {})
        run.update(data["project"].get("dependencies", []))
        for extra, needs in data["project"].get("optional-dependencies", {}).items():
            (run if extra in lock.get("run-extras", ()) else extras).update(needs)
        alone.update(lock.get("no-deps", []))
    no_deps = {r for r in run | extras if _name(r) in alone}
    ours = {r for r in run | extras if _name(r).startswith("tokenbench")}
    return run - no_deps - ours, extras - no_deps - ours, no_deps


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None, requirement
    return match[0].lower().replace("_", "-").replace(".", "-")


def _compile(requirements: list[str], *options: str) -> str:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--universal", "--quiet"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
        *("--python-version", OLDEST_PYTHON, *options),
    ]
    done = subprocess.run(
        command, input="\n".join(requirements), text=True, capture_output=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
