"""Wheels of every distribution in a clean environment, without the checkout.

They are built and installed once per test session (about 30 s) with the pinned packages, from the
package index or the cache of pip.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(file.parent for file in ROOT.glob("examples/*/pyproject.toml"))
FIRST_PARTY = [
    ROOT / "core",
    ROOT / "testing",
    *sorted(file.parent for file in ROOT.glob("plugins/*/*/pyproject.toml")),
]
# Required by the conformance kit; pinned in requirements/dev.txt.
_FOR_TESTING = ("pytest", "iniconfig")
# A user's pip settings must not change what is installed or where (see the Makefile).
_PIP_NOISE = ("PIP_CONSTRAINT", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_NO_BINARY")


@attrs.frozen
class CleanEnvironment:
    """A virtual environment without the checkout; state and caches of `bench` go to `home`."""

    folder: Path
    home: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def variables(self, **more: str) -> dict[str, str]:
        """Variables for its commands, without those of Python, bench and this test run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PYTEST", "TOKENBENCH_", "VIRTUAL_ENV", "XDG_"))
        }
        path = f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}"
        home = {"XDG_STATE_HOME": str(self.home), "XDG_CACHE_HOME": str(self.home)}
        return {**kept, **home, "PATH": path, "VIRTUAL_ENV": str(self.folder), **more}

    def __call__(
        self, *command: str, cwd: Path, timeout_s: float = 120.0, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands until it exits."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=cwd,
            env=self.variables(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )


# Calls the hooks of each build backend (PEP 517), for which `python -m build` would start four
# processes for each folder.
_BUILD = """
import importlib, os, pathlib, shutil, sys, tempfile, tomllib
out, *folders = sys.argv[1:]
for folder in folders:
    os.chdir(folder)
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
    backend = importlib.import_module(project["build-system"]["build-backend"])
    with tempfile.TemporaryDirectory() as unpacked:
        sdist = os.path.join(out, backend.build_sdist(out))
        shutil.unpack_archive(sdist, unpacked, filter="data")
        (inside,) = pathlib.Path(unpacked).iterdir()
        os.chdir(inside)
        backend.build_wheel(out)
        os.chdir(out)
"""


def build(folders: Sequence[Path], out: Path) -> list[Path]:
    """A wheel of each folder, built from its sdist, without build isolation."""
    out.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(out), *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wheels = sorted(out.glob("*.whl"))
    assert len(wheels) == len(folders)
    return wheels


def clean_environment(folder: Path, wheels: Sequence[Path]) -> CleanEnvironment:
    """An environment with the pinned packages of a run, pytest, and these wheels."""
    venv.create(folder / "env", with_pip=False)
    made = CleanEnvironment(folder=folder / "env", home=folder / "home")
    pins = folder / "pins.txt"
    requirements = ROOT / "requirements"
    pins.write_text((requirements / "run.txt").read_text() + _pins(requirements / "dev.txt"))
    _pip(made, "--require-hashes", "-r", str(pins))
    _pip(made, *map(str, wheels))
    return made


def _pins(file: Path) -> str:
    """The entries of the packages that the kit requires, with hashes."""
    entries = re.findall(r"^([a-z0-9-]+)(==.*(?:\n\s+--hash.*)+\n)", file.read_text(), re.MULTILINE)
    found = [name + rest for name, rest in entries if name in _FOR_TESTING]
    assert len(found) == len(_FOR_TESTING), f"{file.name} does not pin all of {_FOR_TESTING}"
    return "".join(found)


def _pip(made: CleanEnvironment, *arguments: str) -> None:
    """Install without dependencies, with the pip of this interpreter."""
    command = (sys.executable, "-m", "pip", "--python", str(made.python), "-qq")
    options = ("--disable-pip-version-check", "install", "--no-deps", "--no-compile")
    done = subprocess.run(
        [*command, *options, *arguments],
        env={name: v for name, v in os.environ.items() if name not in _PIP_NOISE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
