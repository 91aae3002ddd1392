"""A process that outlives `bench` long enough to leave nothing behind.

Started as ``python -I -S supervisor.py OPTIONS -- COMMAND...``; wraps one command. It becomes the
reaper of all orphans below it, so grandchildren that detach (double fork, setsid) are still its
descendants. It stops everything when the command ends, when it is told to (SIGTERM), and when its
lifeline ends: a pipe whose write end only `bench` holds, which the kernel closes on any death.

Options: ``lifeline=FD``, ``status=FD``, ``grace=SECONDS``, ``cpus=0,2``, ``cwd=FOLDER``,
``scratch=FOLDER``. To the status descriptor it says ``started PID`` or ``failed ERRNO STAGE TEXT``
(stage: cpus, cwd or exec), and at the end ``exited CODE``.

Standard library only, and little of it: this starts before each process we start.
"""

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
# Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays so over exec: an engine's
# ``a | head`` would then never end.
RESET = ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGXFSZ")


def main(argv: list[str]) -> None:
    """Parse by hand: argparse would cost more than the rest."""
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
    stopping: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    child, failure = _start(options, command, (lifeline, status, wake_read, wake_write))
    if failure:
        _say(status, f"failed {failure}")
        return 127
    _say(status, f"started {child}")
    code = None
    while code is None and not stopping:
        ready, _, _ = select.select([lifeline, wake_read], [], [], 1.0)
        if wake_read in ready:
            os.read(wake_read, 4096)
        if lifeline in ready and not os.read(lifeline, 1):
            stopping.append(True)
        code = _reap(child)
    if code is None:
        code = _stop_gently(child, grace_s)
    _kill_descendants(child)
    if options.get("scratch"):
        _remove(options["scratch"])
    _say(status, f"exited {code}")
    return code


def _start(
    options: dict[str, str], command: list[str], inherited: tuple[int, ...]
) -> tuple[int, str]:
    """Fork and exec; the pid, and what failed if the command could not be executed."""
    failed_read, failed_write = os.pipe()  # both close on exec: silence is success
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _prepare(supervisor, inherited)
            failure = _become(options, command)
            os.write(failed_write, failure.encode(errors="replace"))
        finally:
            os._exit(127)  # never back into the supervisor's own code
    os.close(failed_write)
    failed = os.read(failed_read, 4096).decode(errors="replace")
    os.close(failed_read)
    if failed:
        os.waitpid(pid, 0)
    return pid, failed


def _prepare(supervisor: int, inherited: tuple[int, ...]) -> None:
    signal.set_wakeup_fd(-1)
    for name in RESET:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(127)  # it died before the line above could take us along
    for fd in inherited:
        os.close(fd)


def _become(options: dict[str, str], command: list[str]) -> str:
    """Exec; returns only to say what failed."""
    stage = "cpus"
    try:
        if options.get("cpus") and hasattr(os, "sched_setaffinity"):  # not on macOS
            os.sched_setaffinity(0, [int(cpu) for cpu in options["cpus"].split(",")])
        stage = "cwd"
        if options.get("cwd"):
            os.chdir(options["cwd"])
        stage = "exec"
        os.execvp(command[0], command)
    except OSError as error:
        return f"{error.errno or 0} {stage} {error.strerror or error}"
    except Exception as error:
        return f"0 {stage} {error}"


def _reap(child: int) -> int | None:
    """Collect whatever ended; the child's exit code (128 + N for a signal), None while it runs."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == 0:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _stop_gently(child: int, grace_s: float) -> int:
    _signal(-child, signal.SIGTERM)
    _signal(child, signal.SIGTERM)
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
    """Kill until none is left: a process may fork while we look.

    What is killed leaves its children to us, so to have no child is to have no descendant.
    """
    if not os.path.isdir("/proc/self"):
        _signal(-child, signal.SIGKILL)  # the best there is without /proc
    deadline = time.monotonic() + KILL_LIMIT_S
    pause_s = 0.0  # none at first: one that keeps forking must be met before its next fork
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
    """Living processes below this one, from /proc; none where there is no /proc."""
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
    found: list[int] = []
    wave = {os.getpid()}
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave}
        found.extend(wave)
    return found


def _remove(folder: str) -> None:
    """Delete a scratch folder, and the one around it when it was the last."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rmdir(os.path.dirname(folder))
    except OSError:
        pass  # others are still in it


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # no Linux: orphans that detach cannot be followed there


def _say(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode() + b"\n")
    except OSError:
        pass  # bench is gone; nobody to tell


if __name__ == "__main__":
    main(sys.argv[1:])
