"""Our own modules are started so that the current folder changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenbench.launch.python import (
    module_command,
    module_environment,
    without_current_folder,
)

SHOW = "import json, queue, token; print(queue.__file__, token.__file__)"


@pytest.mark.parametrize("path", [None, "", ":", "{named}:", ":{named}", "{named}::{named}"])
def test_files_of_the_current_folder(tmp_path: Path, path: str | None) -> None:
    """They are not imported, whatever PYTHONPATH is; what it names is."""
    here, named = tmp_path / "here", tmp_path / "named"
    for folder in (here, named):
        folder.mkdir()
    for name in ("queue", "token", "json"):
        (here / f"{name}.py").write_text("raise SystemExit('mine')")
    (named / "shown.py").write_text(SHOW)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = path.format(named=named)
    done = subprocess.run(
        module_command("shown"),
        cwd=here,
        env=module_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if path is not None and "named" in path:
        assert (done.returncode, str(here) in done.stdout) == (0, False), done.stderr
    else:
        assert "No module named shown" in done.stderr


def test_module_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is left out, unless PYTHONPATH names it."""
    monkeypatch.chdir(tmp_path)
    here, path = str(tmp_path), ["/bin", str(tmp_path), "", "/lib"]
    assert without_current_folder(path, {}) == ["/bin", "/lib"]
    assert without_current_folder(path, {"PYTHONPATH": f":{sys.prefix}"}) == ["/bin", "/lib"]
    for named in (here, ".", f"{sys.prefix}{os.pathsep}{here}"):
        assert without_current_folder(path, {"PYTHONPATH": named}) == path
    tmp_path.rmdir()
    assert without_current_folder(path, {}) == ["/bin", here, "/lib"]
