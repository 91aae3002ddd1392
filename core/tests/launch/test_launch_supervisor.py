"""The supervisor with processes that resist being killed, its status lines and its signals."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenbench.api import EngineError, MachineError
from tokenbench.launch import supervisor
from tokenbench.launch.process import Process, start

Started = Callable[[], list[int]]

# Every 20 ms a child in a session of its own.
_FORKING = """
import os, time
while True:
    if os.fork() == 0:
        os.setsid()
        time.sleep(300)
    time.sleep(0.02)
"""
# A chain of short-lived processes: each forks the next one and exits.
_HOPPING = """
import os, time
os.setsid()
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
"""


def _wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.01)


def _supervisor_of(process: Process) -> int:
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def _descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def test_process_that_keeps_forking(started: Started) -> None:
    """Children forked during the kill are killed too."""
    process = start([sys.executable, "-c", _FORKING])
    _wait_until(lambda: len(started()) > 10)
    process.stop()
    assert started() == []


def test_chain_of_short_lived_processes(started: Started) -> None:
    """Each lives for 1 ms, outside the command's process group."""
    process = start(["sh", "-c", f"{sys.executable} -c '{_HOPPING}' & exec sleep 300"])
    _wait_until(lambda: len(started()) > 2)
    time.sleep(0.2)
    process.stop()
    assert started() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_supervisor(tmp_path: Path, number: int) -> None:
    """The command gets SIGTERM and chooses its exit code."""
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    process = start(["sh", "-c", script], log=tmp_path / "log")
    _wait_until(lambda: "ready" in process.log_tail(1))
    os.kill(_supervisor_of(process), number)
    assert process.wait(10) == 3
    assert process.log_tail(1) == "bye"


def test_status_lines(tmp_path: Path) -> None:
    """The command's pid, then its exit code; or the failure."""
    lifeline, held = os.pipe()
    read, status = os.pipe()
    options = [f"lifeline={lifeline}", f"status={status}"]
    for command, status_lines in (
        (["sh", "-c", "echo $$; exit 7"], "started {}\nexited 7\n"),
        (["no-such-command"], "failed 2 exec No such file or directory\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-I", "-S", supervisor.__file__, *options, "--", *command],
            pass_fds=(lifeline, status),
            capture_output=True,
            text=True,
            check=False,
        )
        assert os.read(read, 4096).decode() == status_lines.format(done.stdout.strip())
        assert done.returncode == (7 if "exited" in status_lines else 127)
    for fd in (lifeline, held, read, status):
        os.close(fd)


def test_fork_of_bench_does_not_hold_the_lifeline(tmp_path: Path, started: Started) -> None:
    """The command dies with `bench`, although a fork of `bench` survives."""
    program = textwrap.dedent(f"""
        import os, time
        from pathlib import Path
        from tokenbench.launch.process import start
        p = start(["sleep", "300"])
        if os.fork():
            Path({str(tmp_path / "child")!r}).write_text(f"{{p.pid}}.")
        else:
            Path({str(tmp_path / "fork")!r}).write_text(f"{{os.getpid()}}.")
        time.sleep(300)
    """)
    bench = subprocess.Popen([sys.executable, "-c", program])
    pids = {}
    for name in ("child", "fork"):
        file = tmp_path / name
        _wait_until(lambda file=file: file.exists() and file.read_text().endswith("."))
        pids[name] = int(file.read_text()[:-1])
    bench.kill()
    bench.wait()
    try:
        _wait_until(lambda: pids["child"] not in started())
        assert pids["fork"] in started()
    finally:
        os.kill(pids["fork"], signal.SIGKILL)


def test_commands_have_default_signals(tmp_path: Path) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a command must not inherit that."""
    process = start(["grep", "SigIgn", "/proc/self/status"], log=tmp_path / "log")
    assert process.wait(5) == 0
    ignored = int(process.log_tail(1).split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGHUP):
        assert not ignored >> (number - 1) & 1, number


def test_reasons_of_a_failed_start(tmp_path: Path) -> None:
    """A missing core, interpreter or log folder."""
    with pytest.raises(MachineError, match=r"cannot run on the CPU cores \(1000,\)"):
        start(["true"], cpus=(1000,))
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(EngineError, match="interpreter named in its first line"):
        start([str(script)])
    with pytest.raises(MachineError, match="cannot start a process"):
        start(["true"], log=tmp_path / "nope" / "log")


def test_descriptors_are_closed(tmp_path: Path) -> None:
    """After a process that ran, and after failed starts."""
    start(["true"]).stop()  # creates the lifeline, which stays open
    before = _descriptors()
    start(["cat"], stdin="pipe", stdout="pipe", log=tmp_path / "log").stop()
    for argv, error in ((["no-such-command"], EngineError), (["nul\0"], ValueError)):
        with pytest.raises(error):
            start(argv, stdin="pipe", stdout="pipe")
    assert _descriptors() == before


def test_command_inherits_three_descriptors(tmp_path: Path) -> None:
    """No end of the lifeline and no pipe of the supervisor."""
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    process = start([sys.executable, "-c", code], log=tmp_path / "log")
    assert process.wait(10) == 0
    assert process.log_tail(1) == "[0, 1, 2]"


def test_start_time() -> None:
    """About 30 ms, 10 of them for Python; the limit allows for a busy machine."""
    seconds = []
    for _ in range(7):
        begun = time.perf_counter()
        process = start(["true"])
        seconds.append(time.perf_counter() - begun)
        process.stop()
    assert statistics.median(seconds) < 0.5
