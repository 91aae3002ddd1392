"""What the Makefile installs, and from where."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _commands(folder: Path) -> str:
    """The commands of make in a workspace with a core, a kit, one plugin and a leftover folder."""
    for name in ("core", "testing", "plugins/engines/one"):
        (folder / name).mkdir(parents=True)
        (folder / name / "pyproject.toml").touch()
    (folder / "plugins/engines/left/src/__pycache__").mkdir(parents=True)
    (folder / "requirements").mkdir()
    for name in ("build", "run", "dev"):
        (folder / "requirements" / f"{name}.txt").touch()
    shutil.copy(ROOT / "Makefile", folder)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", ".venv/.run", f"PYTHON={sys.executable}"],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_folders_without_a_pyproject_are_not_installed(tmp_path: Path) -> None:
    """A branch with one more plugin leaves caches behind; they do not break the installation."""
    installed = re.findall(r"--editable (\w\S*)", _commands(tmp_path))
    assert installed == ["core", "plugins/engines/one", "testing"]


def test_pip_settings_of_a_user_do_not_redirect_the_installation(tmp_path: Path) -> None:
    """Target and content are fixed; index, timeout and the like remain the user's."""
    (line,) = [line for line in _commands(tmp_path).splitlines() if "--editable" in line]
    before, _, _ = line.partition(" .venv/bin/python")
    settings = {f"PIP_{name}": "x" for name in ("ROOT", "TARGET", "DRY_RUN", "CONSTRAINT", "USER")}
    done = subprocess.run(
        [*before.split(), "env"],
        env={**os.environ, **settings, "PIP_TIMEOUT": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    kept = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("PIP_"))
    assert kept["PIP_TIMEOUT"] == "77"
    assert {key: kept[key] for key in settings if key in kept} == {"PIP_USER": "0"}
