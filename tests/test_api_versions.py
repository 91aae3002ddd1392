"""Plugins written for any supported minor version of the API still work.

``tests/site_api_MAJOR_MINOR`` holds frozen plugins of every kind, written for that version. A
change to the API that breaks one of them breaks third-party plugins. A new minor version needs a
new folder; the folders of unsupported versions are deleted. Before 1.0 only the current minor
version is supported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from tokenbench.api import API_VERSION
from tokenbench.plugins.discovery import Candidate
from tokenbench.plugins.kinds import KINDS
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.plugins.state import Loaded

MAJOR = API_VERSION[0]
MINORS = range(0 if MAJOR else API_VERSION[1], API_VERSION[1] + 1)
# Digests of the folders. If one differs, undo the edit of the folder; do not change the digest.
FROZEN = {
    "0.2": "57d8beafe2e519d33164b2974aee5174cadc314de8f37db95ba37f47e7d3bf8c",
}


def _folder(minor: int) -> Path:
    return Path(__file__).resolve().parent / f"site_api_{MAJOR}_{minor}"


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            found.update(f"{file.relative_to(folder).as_posix()}\n".encode() + file.read_bytes())
    return found.hexdigest()


@pytest.fixture(params=MINORS, ids=lambda minor: f"{MAJOR}.{minor}")
def minor(request) -> int:
    """Each supported minor version."""
    found: int = request.param
    return found


def _candidates(
    minor: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[PluginRegistry, list[Candidate]]:
    monkeypatch.syspath_prepend(str(_folder(minor)))
    for name in [n for n in sys.modules if n.startswith(f"tokenbench_api_{MAJOR}_{minor}_")]:
        monkeypatch.delitem(sys.modules, name)
    registry = PluginRegistry()
    wanted = f"tokenbench-api-{MAJOR}-{minor}-fixture"
    return registry, [c for c in registry.candidates if c.distribution == wanted]


def test_every_version_has_frozen_plugins(minor: int) -> None:
    """Fails for a new minor version without a folder, and for an edit of an old folder."""
    folder = _folder(minor)
    assert folder.is_dir(), f"write plugins for API {MAJOR}.{minor} in {folder.name}"
    assert _digest(folder) == FROZEN[f"{MAJOR}.{minor}"], f"{folder.name} is frozen: undo the edit"


def test_no_plugins_of_other_versions() -> None:
    """Folders of unsupported major versions are deleted."""
    here = {folder.name for folder in Path(__file__).resolve().parent.glob("site_api_*")}
    assert here == {_folder(minor).name for minor in MINORS}
    assert set(FROZEN) == {f"{MAJOR}.{minor}" for minor in MINORS}


def test_every_plugin_loads(minor: int, monkeypatch) -> None:
    """One of every kind. None uses a deprecated part of the current version."""
    registry, candidates = _candidates(minor, monkeypatch)
    kinds = {c.kind for c in candidates}
    assert {c.api for c in candidates} == {f"{MAJOR}.{minor}"}
    assert len(kinds) >= 10
    if minor == API_VERSION[1]:
        assert kinds == {kind.name for kind in KINDS}
    for candidate in candidates:
        found = registry.check(candidate)
        assert isinstance(found, Loaded), (candidate, found)
        if minor == API_VERSION[1]:
            assert found.deprecated == (), candidate


@pytest.mark.parametrize("engine", ["", "-wrapping"])
def test_they_plan_and_run(minor: int, engine: str, bench) -> None:
    """In one run; everything but the server is theirs."""
    name = f"api-{MAJOR}-{minor}"
    path = os.pathsep.join([str(_folder(minor)), os.environ.get("PYTHONPATH", "")])
    options = [
        *("--engine", f"{name}{engine}:itl_s=0.002,quick=no,slots=none", "--model", name),
        *(
            "--hardware",
            name,
            "--launcher",
            name,
            "--workload",
            name,
            "--no-canaries",
            "--eval",
            f"{name}:limit=3",
        ),
        *("--reporter", name, "--use", name, "--concurrency", "1,2", "--requests", "6"),
        "--no-canaries",  # The scripted server repeats one word.
    ]
    planned = bench("plan", *options, "--explain", PYTHONPATH=path)
    assert planned.code == 0, planned.err
    for text in ("1 x OWN-1", "[recipe: ", "[amendment: ", "at least 0.1", "2 points on 1 deploy"):
        assert text in planned.out, text
    done = bench("run", *options, "--allow-invalid", PYTHONPATH=path)
    assert done.code == 0, done.err
    run = bench.run_directory
    results = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert [(r["state"], r["accuracy"]) for r in results] == [("done", "pass")] * 2
    assert [r["engine_version"] for r in results] == ["scripted 1"] * 2
    assert all(r["metrics"]["requests_ok"]["mean"] >= 6 for r in results)
    assert results[0]["metrics"]["power_w.accelerator"]
    assert (run / "reports" / f"{name}.txt").read_bytes()
    events = (run / "reports" / f"{name}-events.txt").read_text().split("\n")
    assert [line.split()[0] for line in events] == [
        *("started", "ready", *["point", "measured"] * 2, "graded", "finished")
    ]
    assert events[-1] == "finished complete 0"
