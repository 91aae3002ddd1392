"""The set-up of the workspace: what the Makefile installs, and from where."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commands(folder: Path) -> str:
    """What make would run in a workspace of a core, one plugin and a folder left behind."""
    for name in ("core", "plugins/engines/one"):
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
    """A branch with one more plugin leaves caches behind; set-up goes on without that folder."""
    (line,) = [line for line in _commands(tmp_path).splitlines() if "--editable" in line]
    words = line.split()
    assert [words[i + 1] for i, word in enumerate(words) if word == "--editable"] == [
        "core",
        "plugins/engines/one",
    ]


def test_pip_settings_of_a_user_do_not_redirect_the_installation(tmp_path: Path) -> None:
    """Where and what is ours to say; the index stays the user's."""
    (line,) = [line for line in _commands(tmp_path).splitlines() if "--editable" in line]
    before, _, _ = line.partition(" .venv/bin/python")
    asked = {f"PIP_{name}": "x" for name in ("ROOT", "TARGET", "DRY_RUN", "CONSTRAINT", "USER")}
    done = subprocess.run(
        [*before.split(), "env"],
        env={**os.environ, **asked, "PIP_TIMEOUT": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    kept = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("PIP_"))
    assert kept["PIP_TIMEOUT"] == "77"
    assert {key: kept[key] for key in asked if key in kept} == {"PIP_USER": "0"}


@pytest.mark.parametrize("there", [True, False])
def test_a_distribution_whose_folder_is_gone_leaves(tmp_path: Path, there: bool) -> None:
    """Only those are named whose source holds no pyproject any more."""
    source = tmp_path / "a plugin"
    source.mkdir()
    if there:
        (source / "pyproject.toml").touch()
    venv = tmp_path / "venv"
    info = venv / "lib/python3.11/site-packages/tokenbench_engine_one-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text(
        f'{{"dir_info": {{"editable": true}}, "url": "{source.as_uri()}"}}'
    )
    assert _environment().gone(venv) == ([] if there else ["tokenbench_engine_one"])
