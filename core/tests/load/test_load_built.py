"""Modules that were compiled: that they are there, are of these sources, and are used or not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tokenbench.load
from tokenbench.load import built

from .test_load_native import BUILT_HERE

TREE = Path(tokenbench.load.__file__).parents[1]
compiled = pytest.mark.skipif(not tokenbench.load.COMPILED, reason="they were not built here")
MYPY = importlib.util.find_spec("mypy") is not None


@pytest.mark.skipif(not (BUILT_HERE and MYPY), reason="nothing to compile them with")
@pytest.mark.skipif("TOKENBENCH_PURE" in os.environ, reason="they are not wanted")
def test_they_are_built_where_they_can_be() -> None:
    """By whatever installed this package, from the sources that lie here; all of them are used."""
    assert tokenbench.load.COMPILED, "not built, or from other sources: install core again"
    for name in built.MODULES:
        spec = importlib.util.find_spec(f"tokenbench.load.{name}")
        assert spec is not None and spec.origin is not None
        assert built.folder() in Path(spec.origin).parents


def _as_it_is(tree: Path) -> None:
    """Change nothing."""


def _changed(tree: Path) -> None:
    with (tree / "load" / "sse.py").open("a") as file:
        file.write("\n# A change.\n")


def _api_changed(tree: Path) -> None:
    with (tree / "api" / "wire.py").open("a") as file:
        file.write("\n# A change.\n")


def _unreadable(tree: Path) -> None:
    (folder,) = (tree / "load" / "_built").iterdir()
    built.library(folder).write_bytes(b"not for this system")


def _half(tree: Path) -> None:
    (folder,) = (tree / "load" / "_built").iterdir()
    next(folder.glob("driver.*")).unlink()


def _edited(tree: Path) -> None:
    """As an editor locks a file."""
    (tree / "load" / ".#sse.py").symlink_to("somebody@somewhere")


@compiled
@pytest.mark.parametrize(
    ("change", "pure", "used"),
    [
        (_as_it_is, "", "True"),
        (_as_it_is, "1", "False"),
        (_changed, "", "False"),
        (_api_changed, "", "False"),
        (_unreadable, "", "False"),
        (_half, "", "False"),
        (_edited, "", "True"),
    ],
)
def test_those_of_other_sources_are_left_alone(
    tmp_path: Path, change: Callable[[Path], None], pure: str, used: str
) -> None:
    """Then everything runs as it stands, and says so."""
    shutil.copytree(TREE, tmp_path / "tokenbench", ignore=shutil.ignore_patterns("__pycache__"))
    change(tmp_path / "tokenbench")
    code = (
        "import tokenbench.load; from tokenbench.load import exchange, native;"
        "print(tokenbench.load.COMPILED, exchange.__file__.endswith('.so'),"
        "      native.path() == 'compiled')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TOKENBENCH_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [used, used, used]
