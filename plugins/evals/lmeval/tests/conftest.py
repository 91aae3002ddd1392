"""Fixtures: the harness in its own interpreter."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Drive = Callable[[dict[str, dict[str, Any]]], dict[str, Any]]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """Runs drive.py with jobs by name, offline, with caches in a temporary folder."""
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed (the extra `harness`)")
    home, scratch = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("scratch")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

    def run(jobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, str(HERE / "drive.py"), json.dumps(jobs)],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(home), "HF_HOME": str(scratch), **offline},
            cwd=HERE / "tasks",  # several.yaml names its data relative to it
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        # Caches belong in the scratch folder, not in the user's home.
        assert list(home.rglob("*")) == []
        return result

    return run


def sums(**more: Any) -> dict[str, Any]:
    """Arguments of HarnessTask for the tests' own task, with the path of its data."""
    data = {"data_files": str(HERE / "tasks" / "sums.jsonl")}
    return {
        "name": "tokenbench_sums",
        "include": str(HERE / "tasks"),
        "overrides": {"dataset_kwargs": data},
        **more,
    }


@pytest.fixture(name="sums", scope="module")
def sums_fixture() -> Callable[..., dict[str, Any]]:
    """Creates arguments of HarnessTask for the tests' own task."""
    return sums
