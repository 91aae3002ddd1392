"""Pin every third-party package with its hashes: ``make lock``.

Reads the dependencies of ``core``, ``testing`` and ``plugins/*/*`` and the dependency groups of the
root ``pyproject.toml``, and writes, valid for every supported Python:

* ``requirements/build.txt``: build backends, for our distributions and third-party sdists;
* ``requirements/run.txt``: what ``bench run`` needs, with the extras that a plugin lists in
  ``[tool.tokenbench.lock] run-extras``;
* ``requirements/dev.txt``: the same pins, all extras, what the kit needs, and the development
  tools;
* ``requirements/browser.txt``: what tests in a browser need besides.

Packages that a plugin lists in ``[tool.tokenbench.lock] no-deps`` are pinned without their
dependencies. Existing pins are kept. Arguments are passed to uv: ``tools/lock.py --upgrade``.
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
PINS = ROOT / "requirements"
OLDEST_PYTHON = "3.11"
_NAME = re.compile(r"^[A-Za-z0-9_.-]+")


def main() -> None:
    """Write the four files."""
    groups = _read(ROOT / "pyproject.toml")["dependency-groups"]
    run, extras, no_deps = _gather()
    alone = _compile(no_deps, "run.txt", "--no-deps")
    _write("run.txt", _compile(run, "run.txt") + alone)
    dev = {*run, *extras, *groups["dev"]}
    _write("dev.txt", _compile(dev, "dev.txt", "-c", str(PINS / "run.txt")) + alone)
    browser = set(groups["browser"])
    _write("browser.txt", _compile(browser, "browser.txt", "-c", str(PINS / "dev.txt")))
    build = set(groups["build"])
    _write("build.txt", _compile(build, "build.txt", "-c", str(PINS / "dev.txt")))


def _gather() -> tuple[set[str], set[str], set[str]]:
    """Requirements of a run, those of the other extras, and those to pin without dependencies."""
    run: set[str] = set()
    extras = set(_read(ROOT / "testing" / "pyproject.toml")["project"]["dependencies"])
    alone: set[str] = set()
    for file in (ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/*/pyproject.toml")):
        data = _read(file)
        lock: dict[str, Any] = data.get("tool", {}).get("tokenbench", {}).get("lock", {})
        run.update(data["project"].get("dependencies", []))
        for extra, needs in data["project"].get("optional-dependencies", {}).items():
            (run if extra in lock.get("run-extras", ()) else extras).update(needs)
        alone.update(lock.get("no-deps", []))
    no_deps = {r for r in run | extras if _name(r) in alone}
    ours = {r for r in run | extras if _name(r).startswith("tokenbench")}
    return run - no_deps - ours, extras - no_deps - ours, no_deps


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text())


def _write(name: str, text: str) -> None:
    (PINS / name).write_text(text)


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None, requirement
    return match[0].lower().replace("_", "-").replace(".", "-")


def _compile(requirements: set[str], pinned: str, *options: str) -> str:
    """Pin `requirements` and their dependencies, at the versions in the file `pinned` if valid."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / pinned
        output.write_text((PINS / pinned).read_text())
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "-", "--universal", "--quiet"),
            *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
            *("--python-version", OLDEST_PYTHON, "--output-file", str(output)),
            *(*options, *sys.argv[1:]),
        ]
        lines = "\n".join(sorted(requirements))
        done = subprocess.run(
            command, input=lines, text=True, stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            sys.exit(done.returncode)
        return output.read_text()


if __name__ == "__main__":
    main()
