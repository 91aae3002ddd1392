"""Real Dynamo on two hosts: prefill and decode apart, through ssh. Part of ``make test-dynamo``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import two_hosts
import yaml

WHY_NOT = two_hosts.missing()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
    pytest.mark.timeout(300),
]
_REQUESTS = 16


def _suite(python: Path, config: Path, shared: str) -> dict[str, Any]:
    return {
        "version": 1,
        "deployments": [
            {
                "engine": {"dynamo": {"python": str(python), "worker": "mocker", "block_size": 16}},
                "model": {"hf": {"path": str(python.parents[1] / "models/tiny-qwen3")}},
                "hardware": "cpu",
                "pools": [{"role": "prefill"}, {"role": "decode", "replicas": 2}],
                "launcher": {
                    "ssh": {"hosts": ["east", "west"], "config": str(config), "shared": shared}
                },
            }
        ],
        "workloads": [{"random": {"input_tokens": 300, "output_tokens": 16}}],
        "load": {"concurrency": [4], "requests": _REQUESTS, "repeats": 1},
    }


def test_prefill_and_decode_on_two_hosts(tmp_path: Path) -> None:
    """They find each other, every request is prefilled once, and nothing is left on either host."""
    if not (folder := os.environ.get("DYNAMO_VENV")):
        pytest.skip("DYNAMO_VENV names no environment: make real-dynamo, make test-dynamo")
    python = Path(folder).absolute() / "bin/python"
    base = subprocess.run(
        (python, "-c", "import sys; print(sys.base_prefix)"), capture_output=True, check=True
    )
    show = [str(python.parents[1])]
    show += [text for text in [base.stdout.decode().strip()] if text != "/usr"]
    (tmp_path / "keys").mkdir()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as shared,
        two_hosts.hosts(tmp_path / "keys", show=show) as hosts,
    ):
        suite = _suite(python, hosts.config, shared)
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
        command = (sys.executable, "-P", "-m", "tokenbench.cli.main", "run", "suite.yaml")
        done = subprocess.run(
            (*hosts.enter, *command, "--allow-invalid"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # Dynamo keeps a cache in the home folder, as it does on any machine.
        left = [what for host in hosts.by_name.values() for what in host.soon_empty(3)]
        assert [what for what in left if not what.endswith("/.cache")] == []
        assert list(Path(shared).iterdir()) == []
    (directory,) = (tmp_path / "runs").iterdir()
    (result,) = map(json.loads, (directory / "results.jsonl").read_text().splitlines())
    assert result["state"] == "done"
    (file,) = directory.glob("points/*/repeat-0/counters.parquet")
    rows = [row for row in pq.read_table(file).to_pylist() if row["role"] is not None]
    places = {(row["role"], row["index"]): row["host"] for row in rows}
    assert set(places) == {("frontend", 0), ("prefill", 0), ("decode", 0), ("decode", 1)}
    assert set(places.values()) == {"east", "west"}
    served = {
        place: [row["requests"] for row in rows if (row["role"], row["index"]) == place]
        for place in places
    }
    counted = {place: found[-1] - found[0] for place, found in served.items()}
    assert counted["prefill", 0] == _REQUESTS
    assert counted["decode", 0] + counted["decode", 1] == _REQUESTS
