"""Processes under a supervisor: no process survives. Real processes only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tokenbench.api import EngineError
from tokenbench.launch.node.agent import HALT_LIMIT_S
from tokenbench.launch.process import HaltWatch, start

# A daemon: double fork and a session of its own.
_DETACHING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
time.sleep(float(sys.argv[2]))
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not _alive(pid):
            return True
        time.sleep(0.02)
    return False


def _read_pid(file: Path) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if file.exists() and file.read_text():
            return int(file.read_text())
        time.sleep(0.02)
    raise TimeoutError(file)


def test_exit_codes_and_output(tmp_path: Path) -> None:
    """The command's exit code, 128 + N for signal N, and its output in the log."""
    process = start(["sh", "-c", "echo out; echo err >&2; exit 7"], log=tmp_path / "log")
    assert process.wait(5) == 7
    assert process.log_tail(5).splitlines() == ["out", "err"]
    killed = start(["sh", "-c", "kill -9 $$"])
    assert killed.wait(5) == 128 + signal.SIGKILL


def test_command_that_does_not_exist(tmp_path: Path) -> None:
    """`start` raises, also for a file that is not executable."""
    with pytest.raises(EngineError, match="does not exist"):
        start(["no-such-command-here"])
    script = tmp_path / "not-executable"
    script.write_text("")
    with pytest.raises(EngineError, match="cannot execute"):
        start([str(script)])


def test_stop(tmp_path: Path) -> None:
    """SIGTERM, then SIGKILL after the grace period; idempotent."""
    process = start(["sleep", "60"])
    process.stop()
    process.stop()
    assert process.exit_code == 128 + signal.SIGTERM
    script = "trap '' TERM; echo deaf; while :; do sleep 1; done"
    ignoring = start(["sh", "-c", script], grace_s=0.3, log=tmp_path / "log")
    while "deaf" not in ignoring.log_tail(1):
        time.sleep(0.02)
    begun = time.monotonic()
    ignoring.stop()
    assert ignoring.exit_code == 128 + signal.SIGKILL
    assert time.monotonic() - begun < 5


def test_stop_kills_detached_grandchildren(tmp_path: Path) -> None:
    """Despite a double fork and a session of their own."""
    process = start([sys.executable, "-c", _DETACHING, str(tmp_path / "pid"), "60"])
    grandchild = _read_pid(tmp_path / "pid")
    process.stop()
    assert _gone(grandchild)


def test_exit_kills_detached_grandchildren(tmp_path: Path) -> None:
    """When the command exits by itself."""
    process = start([sys.executable, "-c", _DETACHING, str(tmp_path / "pid"), "0.5"])
    grandchild = _read_pid(tmp_path / "pid")
    assert process.wait(10) == 0
    assert _gone(grandchild)


@pytest.mark.parametrize("how", ["kill", "crash"])
def test_nothing_survives_bench(tmp_path: Path, how: str) -> None:
    """SIGKILL of the process that started the command, or its abort: the lifeline ends."""
    program = textwrap.dedent(f"""
        import os, sys, time
        from tokenbench.launch.node.agent import HALT_LIMIT_S
        from tokenbench.launch.process import HaltWatch, start
        from pathlib import Path
        scratch = Path({str(tmp_path / "around" / "scratch")!r})
        scratch.mkdir(parents=True)
        (scratch / "file").write_text("x")
        p = start(
            [sys.executable, "-c", {_DETACHING!r}, {str(tmp_path / "pid")!r}, "60"],
            scratch=scratch,
        )
        open({str(tmp_path / "child")!r}, "w").write(str(p.pid))
        time.sleep(0.5)
        if {how!r} == "crash": os.abort()
        time.sleep(60)
    """)
    bench = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    grandchild, child = _read_pid(tmp_path / "pid"), _read_pid(tmp_path / "child")
    if how == "kill":
        bench.kill()
    bench.wait()
    assert _gone(child)
    assert _gone(grandchild)
    deadline = time.monotonic() + 5
    while (tmp_path / "around").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not (tmp_path / "around").exists()


def test_command_dies_with_its_supervisor() -> None:
    """SIGKILL of the supervisor kills the command too."""
    process = start(["sleep", "60"])
    supervisor = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    assert _gone(process.pid)
    process.stop()


def test_cores(tmp_path: Path) -> None:
    """The command runs on the given cores."""
    core = max(os.sched_getaffinity(0))
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    process = start([sys.executable, "-c", code], cpus=(core,), log=tmp_path / "log")
    assert process.wait(10) == 0
    assert process.log_tail(1) == f"[{core}]"


def test_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is halted too long if it has used no CPU time since it was first seen halted."""
    process = start([sys.executable, "-c", "while True: pass"])
    watch, now = HaltWatch(), 0.0
    monkeypatch.setattr("tokenbench.launch.process.time.monotonic", lambda: now)
    try:
        assert not watch.too_long(process)
        for _ in range(3):
            os.kill(process.pid, signal.SIGSTOP)
            _wait_for_halt(process.pid)
            assert not watch.too_long(process)
            now += HALT_LIMIT_S + 0.1
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGSTOP)
        _wait_for_halt(process.pid)
        assert not watch.too_long(process)
        now += HALT_LIMIT_S + 0.1
        assert watch.too_long(process)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.stop()


def _wait_for_halt(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)
