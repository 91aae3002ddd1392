"""Each process has a scratch folder with its own TMPDIR; what survives its supervisor is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenbench.api import MachineError
from tokenbench.launch.process import HaltWatch, Process, start

Started = Callable[[], list[int]]

# A daemon: double fork and a session of its own.
_DETACHING = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(os.environ["TMPDIR"] + "/up", "w").close()
        time.sleep(300)
    os._exit(0)
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def _supervisor_of(process: Process) -> int:
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.01)


def test_own_folder(tmp_path: Path, temporary: Path) -> None:
    """Two processes have different ones, both are removed at the end with what is in them."""
    shell = ["sh", "-c", 'echo "$TMPDIR"; mkdir "$TMPDIR/full"; echo x > "$TMPDIR/full/file"']
    processes = [start(shell, log=tmp_path / name) for name in ("one", "two")]
    for process in processes:
        assert process.wait(10) == 0
        process.stop()
    said = {process.log_tail(1) for process in processes}
    assert len(said) == 2 and all(Path(folder).is_relative_to(temporary) for folder in said)
    assert not list(temporary.iterdir())


def test_folder_that_the_environment_names(tmp_path: Path) -> None:
    """A TMPDIR of the command's own environment stays, for example from a suite."""
    log = tmp_path / "log"
    process = start(["sh", "-c", 'echo "$TMPDIR"'], env={**os.environ, "TMPDIR": "/dev"}, log=log)
    assert (process.wait(10), process.log_tail(1)) == (0, "/dev")
    process.stop()


def test_supervisor_is_killed(temporary: Path, started: Started) -> None:
    """Its command dies with it, what that had started when the process is stopped."""
    process = start([sys.executable, "-c", _DETACHING])
    _wait_until(lambda: list(temporary.rglob("up")))
    os.kill(_supervisor_of(process), signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    process.stop()
    _wait_until(lambda: not started())
    assert not list(temporary.iterdir())


def test_failed_start_leaves_no_folder(temporary: Path) -> None:
    """Nor does a command that cannot be started."""
    with pytest.raises(Exception, match="does not exist"):
        start(["no-such-command"])
    assert not list(temporary.iterdir())


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An error that names TMPDIR, before anything starts."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(MachineError, match="cannot create a scratch folder") as caught:
        start(["true"])
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize("what", ["command", "supervisor"])
def test_halted_process_is_stopped_at_once(what: str) -> None:
    """It does not take the time that a process gets which ignores SIGTERM."""
    process = start(["sleep", "300"])
    os.kill(process.pid if what == "command" else _supervisor_of(process), signal.SIGSTOP)
    if what == "command":
        _wait_until(lambda: process.halted_at is not None)
    begun = time.monotonic()
    process.stop()
    assert (process.exit_code, time.monotonic() - begun < 8) == (128 + signal.SIGTERM, True)


def test_halt_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is halted for long is noticed, one that is seen going on is not."""
    monkeypatch.setattr("tokenbench.launch.process.HALT_LIMIT_S", 0.2)
    process, watch = start(["sleep", "300"]), HaltWatch()
    for _ in range(3):
        os.kill(process.pid, signal.SIGSTOP)
        _wait_until(lambda: process.halted_at is not None)
        assert not watch.too_long(process)
        os.kill(process.pid, signal.SIGCONT)
        _wait_until(lambda: process.halted_at is None)
        assert not watch.too_long(process)
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGSTOP)
    _wait_until(lambda: watch.too_long(process))
    process.stop()
