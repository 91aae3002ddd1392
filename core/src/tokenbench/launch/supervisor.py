"""Runs one command and kills all its processes, even if `bench` is killed.

Started as ``python -I -S supervisor.py OPTIONS -- COMMAND...``. It is a subreaper, so detached
processes (double fork, setsid) remain its descendants. It stops everything when the command exits,
on SIGTERM, and when its lifeline ends: a pipe whose write end only `bench` holds and the kernel
closes when `bench` dies.

Options: ``lifeline=FD``, ``status=FD``, ``grace=SECONDS``, ``cpus=0,2`` (may be empty),
``scratch=FOLDER``. It writes ``started PID`` or ``failed ERRNO STAGE TEXT`` (stage: cpus or exec)
to the status descriptor, and ``exited CODE`` at the end.

Imports little, and from the standard library only, because it starts with every process. It also
runs on other hosts, with Python 3.8 or newer.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.02
KILL_LIMIT_S = 10.0
# Python ignores SIGPIPE and SIGXFSZ, and exec keeps ignored signals ignored: ``a | head`` in an
# engine would never end.
DEFAULT_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGXFSZ")


def main(argv: list[str]) -> None:
    """Parse by hand: importing argparse would take longer than everything else."""
    split = argv.index("--")
    options = dict(item.split("=", 1) for item in argv[:split])
    sys.exit(_supervise(options, argv[split + 1 :]))


def _supervise(options: dict[str, str], command: list[str]) -> int:
    lifeline = int(options["lifeline"])
    status = int(options["status"])
    grace_s = float(options.get("grace", "10"))
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    stop_requested: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop_requested.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    child, failure = _start(options, command, (lifeline, status, wake_read, wake_write))
    if failure:
        _report(status, f"failed {failure}")
        return 127
    _report(status, f"started {child}")
    code = None
    while code is None and not stop_requested:
        ready, _, _ = select.select([lifeline, wake_read], [], [], 1.0)
        if wake_read in ready:
            os.read(wake_read, 4096)
        if lifeline in ready and not os.read(lifeline, 1):
            stop_requested.append(True)
        code = _reap(child)
    if code is None:
        code = _terminate(child, grace_s)
    _kill_descendants(child)
    if options.get("scratch"):
        _remove_scratch(options["scratch"])
    _report(status, f"exited {code}")
    return code


def _start(
    options: dict[str, str], command: list[str], inherited: tuple[int, ...]
) -> tuple[int, str]:
    """Fork and exec; returns the pid, and the failure if exec failed."""
    failed_read, failed_write = os.pipe()  # both close on exec: nothing to read means success
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _prepare_child(supervisor, inherited)
            failure = _exec(options, command)
            os.write(failed_write, failure.encode(errors="replace"))
        finally:
            os._exit(127)  # never return into the supervisor's code
    os.close(failed_write)
    failed = os.read(failed_read, 4096).decode(errors="replace")
    os.close(failed_read)
    if failed:
        os.waitpid(pid, 0)
    return pid, failed


def _prepare_child(supervisor: int, inherited: tuple[int, ...]) -> None:
    signal.set_wakeup_fd(-1)
    for name in DEFAULT_SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    # Not a new session: Linux shares the CPU among sessions (sched_autogroup), and one got no CPU
    # time for 30 s beside another that polls constantly (6.18, NIXL's progress thread).
    os.setpgid(0, 0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(127)  # the supervisor died before PDEATHSIG was set
    for fd in inherited:
        os.close(fd)


def _exec(options: dict[str, str], command: list[str]) -> str:
    """Exec; returns only on failure, with ``ERRNO STAGE TEXT``."""
    stage = "cpus"
    try:
        if options.get("cpus") and hasattr(os, "sched_setaffinity"):  # not on macOS
            os.sched_setaffinity(0, [int(cpu) for cpu in options["cpus"].split(",")])
        stage = "exec"
        os.execvp(command[0], command)
    except OSError as error:
        return f"{error.errno or 0} {stage} {error.strerror or error}"
    except Exception as error:
        return f"0 {stage} {error}"


def _reap(child: int) -> int | None:
    """Reap all that exited; the command's exit code (128 + N for signal N), None while it runs."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == 0:
            return None
        if pid == child:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _terminate(child: int, grace_s: float) -> int:
    """SIGTERM, then SIGKILL after `grace_s`; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGCONT):  # A halted process would not handle SIGTERM.
        _signal(-child, number)
        _signal(child, number)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        code = _reap(child)
        if code is not None:
            return code
        time.sleep(POLL_S)
    _signal(-child, signal.SIGKILL)
    _signal(child, signal.SIGKILL)
    while True:
        code = _reap(child)
        if code is not None:
            return code
        time.sleep(POLL_S)


def _kill_descendants(child: int) -> None:
    """Kill until none is left, because a process may fork during the scan.

    Children of a killed process become children of this one, so no child means no descendant.
    """
    if not os.path.isdir("/proc/self"):
        _signal(-child, signal.SIGKILL)  # without /proc, only the process group
    deadline = time.monotonic() + KILL_LIMIT_S
    pause_s = 0.0  # at first no pause, to be faster than a process that keeps forking
    while time.monotonic() < deadline:
        for pid in _descendants():
            _signal(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(pause_s)
        pause_s = min(POLL_S, pause_s + POLL_S / 100)


def _descendants() -> list[int]:
    """Living descendants of this process, from /proc; empty without /proc."""
    parents: dict[int, int] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state != b"Z":
                parents[int(name)] = int(parent)
    descendants: list[int] = []
    generation = {os.getpid()}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation}
        descendants.extend(generation)
    return descendants


def _remove_scratch(folder: str) -> None:
    """Remove a scratch folder, and its parent if it is empty then."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rmdir(os.path.dirname(folder))
    except OSError:
        pass  # not empty


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux: detached orphans cannot be found


def _report(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode() + b"\n")
    except OSError:
        pass  # bench is gone


if __name__ == "__main__":
    main(sys.argv[1:])
