"""Fixtures: a scripted server and a load worker, both real processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokenbench.api import COMPLETIONS, Dialect, Session, SingleTurn, Stop, Target, TextPrompt, Turn
from tokenbench.launch.ports import free_port
from tokenbench.load import native
from tokenbench.load.codecs import find_codec
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary
from tokenbench.load.session_file import write_sessions
from tokenbench.load.worker_handle import Progress, WorkerHandle

from .peers import PhaseResult, Server, run_phase_here

Serve = Callable[..., str]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the sessions that a test defines: by the names that pytest gives."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(params=["compiled", "python"])
def each_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with the C extension, if it is built, and with the Python versions."""
    if request.param == "python":
        monkeypatch.setattr(native, "module", None)
    elif native.module is None:
        pytest.skip("the C extension is not built")
    path: str = request.param
    return path


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted server with the given options; returns its URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> str:
        port = free_port()
        command = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
        started.append(subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.02)
        raise TimeoutError("the scripted server did not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Start a :class:`Server` with a script; exceptions in its threads fail the test."""
    started: list[Server] = []

    def start(*args: object, **options: object) -> Server:
        started.append(Server(*args, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for server in started:
        server.close()
    assert [failure for server in started for failure in server.failures] == []


@pytest.fixture
def run_here(tmp_path: Path) -> Callable[..., PhaseResult]:
    """Run a phase in this process, with a number of plain prompts or with given sessions."""

    def run(url: str, sessions: int | list[Session] = 1, **options: object) -> PhaseResult:
        if isinstance(sessions, int):
            sessions = [plain_session(i) for i in range(sessions)]
        return run_phase_here(url, tmp_path, sessions, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerHandle]:
    """A load worker process."""
    handle = WorkerHandle(cpus=None, log=tmp_path / "worker.log")
    yield handle
    handle.close()


@pytest.fixture
def drive(worker: WorkerHandle, tmp_path: Path) -> Callable[..., PhaseSummary]:
    """Run a phase on a load worker; returns its summary. The records are in `tmp_path`."""

    def run(
        url: str,
        *,
        concurrency: int = 4,
        stop: Stop | None = None,
        sessions: list[Session] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        interrupted: Callable[[], bool] = lambda: False,
        codec: str = COMPLETIONS,
        **options: object,
    ) -> PhaseSummary:
        sessions = sessions or [plain_session(i) for i in range(500)]
        job = LoadJob(
            url=url,
            codec=codec,
            model="scripted",
            dialect=Dialect(codecs=(codec,), ignore_eos=True),
            sessions=str(tmp_path / "sessions"),
            output=str(tmp_path),
            stop=stop or Stop(requests=20),
            concurrency=concurrency,
            **options,  # type: ignore[arg-type]
        )
        target = Target(model=job.model, dialect=job.dialect)
        used = find_codec(codec, job.codec_module)
        write_sessions(sessions, used, target, [tmp_path / "sessions"])
        return worker.run(
            job,
            tmp_path / "job.json",
            on_progress=on_progress,
            interrupted=interrupted,
            alive=lambda: True,
        )

    return run


def plain_session(number: int, tokens: int = 10) -> SingleTurn:
    """A prompt of four words."""
    return SingleTurn(
        Turn(
            prompt=TextPrompt(f"prompt number {number} here"),
            max_tokens=tokens,
            exact_output=True,
            n_in=4,
        )
    )
