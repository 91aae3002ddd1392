"""Commands with a supervisor, which kills all their processes even if `bench` is killed."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from tokenbench.api import MachineError

from .node.agent import HALT_LIMIT_S, halted_at
from .scratch import kill_all_of, new_scratch, own_environment, remove
from .start_failure import start_error

_SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
_START_TIMEOUT_S = 10.0
_TAIL_BYTES = 64 * 1024
_LINE_BYTES = 256

_lock = threading.Lock()
_lifeline: tuple[int, int] | None = None  # read end, write end


def _lifeline_fd() -> int:
    """The read end of the pipe whose write end closes when this process dies."""
    global _lifeline  # noqa: PLW0603 - one pipe per process, created on first use
    with _lock:
        if _lifeline is None:
            _lifeline = os.pipe()  # both close on exec; no child inherits the write end
        return _lifeline[0]


def _after_fork_in_child() -> None:
    """Close the inherited ends: a child without exec would keep the lifeline open."""
    global _lifeline, _lock  # noqa: PLW0603 - see above
    _lock = threading.Lock()
    if _lifeline is not None:
        for fd in _lifeline:
            os.close(fd)
        _lifeline = None


os.register_at_fork(after_in_child=_after_fork_in_child)


class Process:
    """A running command. `pid` is that of the command, not of its supervisor."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        pid: int,
        log: Path | None,
        grace_s: float,
        scratch: Path,
    ) -> None:
        self._popen = popen
        self.pid = pid
        self.log = log
        self._grace_s = grace_s
        self._scratch = scratch

    @property
    def stdin_fd(self) -> int:
        """Descriptor of the command's standard input, which must be a pipe."""
        assert self._popen.stdin is not None
        return self._popen.stdin.fileno()

    @property
    def stdout_fd(self) -> int:
        """Descriptor of the command's standard output, which must be a pipe."""
        assert self._popen.stdout is not None
        return self._popen.stdout.fileno()

    @property
    def exit_code(self) -> int | None:
        """The command's exit code (128 + N for signal N); None while it runs."""
        code = self._popen.poll()
        return None if code is None else (code if code >= 0 else 128 - code)

    @property
    def halted_at(self) -> int | None:
        """See :func:`.node.agent.halted_at`."""
        return halted_at(self.pid)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the exit code; None after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return self.exit_code

    def close_stdin(self, timeout_s: float) -> None:
        """Close the command's standard input, then wait up to `timeout_s` for it to exit."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        self.wait(timeout_s)

    def stop(self) -> None:
        """Stop the command and all its descendants, and wait for their end. Idempotent."""
        if self._popen.poll() is None:
            self.terminate()
            if self.wait(self._grace_s + 12.0) is None:
                # Unexpected, because the supervisor limits its own time. The command dies with it.
                self._popen.kill()
                self._popen.wait()
        if self._popen.returncode < 0:
            kill_all_of(self._scratch)
        remove(self._scratch)
        _close_streams(self._popen)

    def terminate(self) -> None:
        """Begin to stop without waiting, so that several processes can stop concurrently."""
        self._popen.terminate()
        # A halted supervisor would not see it.
        self._popen.send_signal(signal.SIGCONT)

    def log_tail(self, lines: int) -> str:
        """The last lines of the log; empty without a log."""
        return tail(self.log, lines) if self.log is not None else ""


class HaltWatch:
    """Detects a process that was halted and does not continue."""

    def __init__(self) -> None:
        self._used: int | None = None
        self._since = 0.0

    def too_long(self, process: Process) -> bool:
        """Whether it has been halted for longer than :data:`HALT_LIMIT_S`.

        A process that used CPU time between two calls was not halted all the time.
        """
        used = process.halted_at
        now = time.monotonic()
        if used is None or used != self._used:
            self._used, self._since = used, now
        return used is not None and now - self._since > HALT_LIMIT_S


class Messages:
    """The messages of a worker process: JSON values, one per line of its standard output, which
    must be a pipe. Errors call it `name`.
    """

    def __init__(self, name: str, process: Process) -> None:
        self._name = name
        self._process = process
        self._buffer = b""
        self._halted = HaltWatch()
        self._poll = select.poll()
        self._poll.register(process.stdout_fd, select.POLLIN)

    def read(self, timeout_s: float) -> list[Any] | None:
        """The next messages, after waiting at most `timeout_s` seconds for one; None at the end.

        Raises:
            MachineError: a signal halted the process and it did not continue.
        """
        if not self._poll.poll(timeout_s * 1e3):
            if self._halted.too_long(self._process):
                raise self._error(
                    f"halted by a signal and did not continue within {HALT_LIMIT_S:g} s",
                    "kill -CONT continues a halted process",
                )
            return []
        self._halted = HaltWatch()
        data = os.read(self._process.stdout_fd, 65536)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def killed(self) -> MachineError | None:
        """The error if a signal killed the process."""
        signalled = (self._process.wait(5.0) or 0) - 128
        hint = "after signal 9, check free memory"
        return self._error(f"killed by signal {signalled}", hint) if signalled > 0 else None

    def _error(self, how: str, hint: str) -> MachineError:
        text = f"the {self._name} was {how}"
        hint = f"run it again; {hint}; what was measured is kept"
        return MachineError(text, hint=hint, log=self._process.log)


def tail(file: Path, lines: int) -> str:
    """The last lines of a file; empty if it cannot be read."""
    try:
        with file.open("rb") as stream:
            wanted = max(_TAIL_BYTES, lines * _LINE_BYTES)
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - wanted))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def start(
    argv: Sequence[str],
    *,
    cpus: tuple[int, ...] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    stdout: str | IO[bytes] | None = None,
    log: Path | None = None,
    scratch: Path | None = None,
    grace_s: float = 10.0,
) -> Process:
    """Start a command.

    Args:
        cpus: CPU cores it may run on; None keeps the current ones.
        env: its whole environment; None inherits this process's. TMPDIR is in its scratch folder,
            unless `env` sets one that differs from this process's. Empty entries of PYTHONPATH are
            left out.
        stdin: ``"pipe"``, or None for an empty input.
        stdout: ``"pipe"``, an open file, or None for the log.
        log: file to which standard error and, by default, standard output are appended.
        scratch: a folder that is removed when the command ends; None: a new one.
        grace_s: seconds between SIGTERM and SIGKILL.

    Raises:
        EngineError: the command does not exist or is not executable.
        MachineError: the process, its folder or its log could not be set up.
    """
    scratch = new_scratch() if scratch is None else scratch
    try:
        made = own_environment(env, scratch)
        return _start(argv, cpus, made, stdin, stdout, log, scratch, grace_s)
    except BaseException:
        remove(scratch)
        raise


def _start(
    argv: Sequence[str],
    cpus: tuple[int, ...] | None,
    env: Mapping[str, str],
    stdin: str | None,
    stdout: str | IO[bytes] | None,
    log: Path | None,
    scratch: Path,
    grace_s: float,
) -> Process:
    lifeline = _lifeline_fd()
    status_read, status_write = os.pipe()
    options = [f"lifeline={lifeline}", f"status={status_write}", f"grace={grace_s}"]
    options += [f"cpus={','.join(map(str, cpus or ()))}", f"scratch={scratch}"]
    command = [sys.executable, "-I", "-S", _SUPERVISOR, *options, "--", *argv]
    try:
        try:
            popen = _spawn(command, env, stdin, stdout, log, (lifeline, status_write))
        finally:
            os.close(status_write)
        try:
            pid = _wait_for_start(status_read, argv[0], cpus)
        except BaseException:
            popen.terminate()
            popen.wait()
            _close_streams(popen)
            raise
    finally:
        os.close(status_read)
    return Process(popen, pid, log, grace_s, scratch)


def _spawn(
    command: list[str],
    env: Mapping[str, str],
    stdin: str | None,
    stdout: str | IO[bytes] | None,
    log: Path | None,
    inherited: tuple[int, ...],
) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        log_file: Any = subprocess.DEVNULL
        try:
            if log is not None:
                log_file = stack.enter_context(log.open("ab"))
            output: Any = subprocess.PIPE if stdout == "pipe" else stdout or log_file
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE if stdin == "pipe" else subprocess.DEVNULL,
                stdout=output,
                stderr=log_file,
                env=dict(env),
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(
                f"cannot start a process: {error}",
                hint="check free disk space and the limit of processes (ulimit -u)",
            ) from error


def _close_streams(popen: subprocess.Popen[bytes]) -> None:
    for stream in (popen.stdin, popen.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _wait_for_start(status: int, program: str, cpus: tuple[int, ...] | None) -> int:
    """The command's pid, from the supervisor's status pipe."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(status, selectors.EVENT_READ)
        while b"\n" not in received and time.monotonic() < deadline:
            if selector.select(deadline - time.monotonic()):
                data = os.read(status, 4096)
                if not data:
                    break
                received += data
    state, _, rest = received.decode(errors="replace").partition("\n")[0].partition(" ")
    if state == "started":
        return int(rest)
    raise start_error(program, rest, cpus=cpus)
