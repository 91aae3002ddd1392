"""Fixtures: the harness in its own interpreter, and a server that records requests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

HERE = Path(__file__).parent
Drive = Callable[..., dict[str, Any]]


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Runs drive.py with a job, offline, with caches in a temporary folder."""
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed (the extra `harness`)")

    def run(job: dict[str, Any], **environment: str) -> dict[str, Any]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(home),
            "HF_HOME": str(tmp_path / "scratch"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            **environment,
        }
        done = subprocess.run(
            [sys.executable, str(HERE / "drive.py"), json.dumps(job)],
            capture_output=True,
            text=True,
            env=environment,
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
    """Arguments for the tests' own task, with the path of its data."""
    data = {"data_files": str(HERE / "tasks" / "sums.jsonl")}
    return {
        "name": "tokenbench_sums",
        "include": str(HERE / "tasks"),
        "overrides": {"dataset_kwargs": data},
        **more,
    }


@pytest.fixture(name="sums")
def sums_fixture() -> Callable[..., dict[str, Any]]:
    """Creates arguments of HarnessTask for the tests' own task."""
    return sums


@attrs.define
class Recorder:
    """An HTTP server that records requests and answers by repeating the question."""

    status: int = 200
    requests: list[dict[str, Any]] = attrs.field(factory=list)
    keys: list[str | None] = attrs.field(factory=list)
    url: str = ""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Shows headers and bodies of requests."""
    kept = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.requests.append({**body, "path": self.path})
            kept.keys.append(self.headers["Authorization"])
            text = f"{body['messages'][-1]['content']} It is 1."
            message = {"role": "assistant", "content": text}
            answer = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
            self.send_response(kept.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join(10)
