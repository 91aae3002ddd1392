"""bench's side of the node agent: starts it through a channel, and asks it."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.launch.process import Process, start
from tokenbench.launch.python import module_environment

from .agent import boot_id, pid_namespace

_AGENT = Path(__file__).with_name("agent.py")
_SUPERVISOR = Path(__file__).parent.with_name("supervisor.py")
# -u: what programs print is in the log, however they end.
# With -c the current folder is searched first: a file queue.py there would be imported.
# Valid in old Pythons, so that they can report their version.
_BOOTSTRAP = """
import sys
if sys.version_info < (3, 8):
    sys.exit("Python 3.8 or newer is needed, this is " + sys.version.split()[0])
sys.path[:] = [part for part in sys.path if part]
import os
head = b""
while not head.endswith(b"\\n"):
    head += os.read(0, 1) or sys.exit()
left, text = int(head), b""
while len(text) < left:
    text += os.read(0, left - len(text)) or sys.exit()
exec(compile(text, "agent.py", "exec"))
"""
_HELLO_S = 30.0
_REPLY_S = 10.0
_START_S = 15.0
_CLOSE_S = 3.0
_CLOCK_TRIES = 5
_BEAT_S = 1.0
_SILENCE_S = 300
"""An agent on another host ends after this time without a message: as long as `bench` may be
halted."""


class AgentError(Exception):
    """A request to an agent failed. The message says why."""


class AgentGone(AgentError):
    """The agent ended, or its channel."""


class AgentLate(AgentError):
    """The agent, or the program that it called, did not answer in time."""


@attrs.frozen(kw_only=True)
class Events:
    """Callbacks in the agent's thread: for a reading, and at the end of a sampler."""

    reading: Callable[[dict[str, Any]], None]
    ended: Callable[[int | None, str | None], None]


@attrs.frozen(kw_only=True)
class ProcessEvents:
    """Callbacks in the agent's thread: for output of a process that is not logged on this machine,
    and at its end (None: the agent and the process are gone). `halted`: a signal has halted it for
    seconds.
    """

    printed: Callable[[str], None]
    exited: Callable[[int | None], None]
    halted: Callable[[], None]


class NodeAgent:
    """A running agent. Close it, or use it as a context manager.

    `offset_ns` is added to the host's monotonic clock to get that of this machine.

    Args:
        host: the host's name, for samples and errors.
        channel: turns a command into one that runs it on the host with standard input and output
            connected.
        python: the host's Python.
        log: a file for the output of programs on the host.
        cpus: CPU cores it may run on, if the host is this machine.
        grace_s: time that its processes have to end before they are killed.
        silence_s: on another machine, it ends after this time without a message from here.

    Raises:
        AgentError: it did not start.
    """

    def __init__(
        self,
        *,
        host: str = "localhost",
        channel: Callable[[Sequence[str]], Sequence[str]] = tuple,
        python: str = sys.executable,
        log: Path | None = None,
        cpus: tuple[int, ...] | None = None,
        grace_s: float = _CLOSE_S,
        silence_s: int = _SILENCE_S,
    ) -> None:
        self.host = host
        self.log = log
        self._grace_s = grace_s
        self._numbers = itertools.count(1)
        self._replies: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._samplers: dict[str, Events] = {}
        self._processes: dict[str, ProcessEvents] = {}
        self._writing = threading.Lock()
        self._unsent = b""
        self._gone = threading.Event()
        self._earlier = log.stat().st_size if log is not None and log.exists() else 0
        self._process: Process = start(
            tuple(channel((python, "-u", "-c", _BOOTSTRAP))),
            env=module_environment(),
            stdin="pipe",
            stdout="pipe",
            log=log,
            cpus=cpus,
            grace_s=grace_s,
        )
        self._thread = self._start_thread(self._listen)
        try:
            text = _AGENT.read_bytes()
            self._write(b"%d\n" % len(text) + text, _HELLO_S)
            self.facts: Mapping[str, Any] = self.ask("hello", limit_s=_HELLO_S)
            self.offset_ns = self._measure_offset()
            if not self.is_here:
                self.ask("expect", silence_s=silence_s)
                self._start_thread(self._keep_alive, silence_s / 5)
        except AgentGone:
            self.close()
            # The agent did not start: the channel's output says why. ssh needs two lines for a host
            # key.
            raise AgentGone(" | ".join(self._said()[-2:]) or self.how_it_ended()) from None
        except BaseException:
            self.close()
            raise

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, in the same container and with this Python, so that it
        has the same modules.
        """
        return (self.facts["boot"], self.facts["prefix"]) == (boot_id(), sys.prefix)

    @property
    def sees_our_pids(self) -> bool:
        """Whether its pids are valid in this process's pid namespace."""
        same_kernel = self.facts["boot"].partition(" ")[0] == boot_id().partition(" ")[0]
        return bool(same_kernel) and str(self.facts["pids"]) == pid_namespace()

    @property
    def gone(self) -> bool:
        """Whether it or its channel has ended."""
        return self._gone.is_set()

    @property
    def folder(self) -> str:
        """Its folder on the host."""
        return str(self.facts["folder"])

    # -- requests ----------------------------------------------------------------------------------

    def ask(self, what: str, *, limit_s: float = _REPLY_S, **arguments: Any) -> Any:
        """Ask the agent and wait for its answer. `what`: see ``do_...`` of :class:`agent.Agent`.

        Raises:
            AgentGone: it ended.
            AgentLate: no answer within `limit_s`, or the called program was late.
            AgentError: the request failed on its host.
        """
        number, replies = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._replies[number] = replies
        deadline = time.monotonic() + limit_s
        request = msgspec.json.encode({"id": number, "do": what, **arguments}) + b"\n"
        try:
            self._write(request, limit_s)
            reply = replies.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AgentLate(f"{self.host} did not answer within {limit_s:g} s") from None
        finally:
            del self._replies[number]
        if reply.get("gone"):
            raise AgentGone(self.how_it_ended())
        if reply.get("late"):
            raise AgentLate(reply["error"])
        if "error" in reply:
            raise AgentError(reply["error"])
        return reply["result"]

    def sample(self, name: str, events: Events, **arguments: Any) -> None:
        """Start a sampler, see ``do_sample``. Raises like :meth:`ask`."""
        self._samplers[name] = events
        try:
            self.ask("sample", name=name, **arguments)
        except BaseException:
            del self._samplers[name]
            raise

    def prepare(self, names: Sequence[str], shared: str | None = None) -> None:
        """Make the folders of processes and their shared folder. Raises like :meth:`ask`.

        Args:
            shared: path of the shared folder, if processes on other hosts use it too.
        """
        supervisor = _SUPERVISOR.read_text(encoding="utf-8")
        self.ask("folders", names=names, supervisor=supervisor, shared=shared)

    def start(self, name: str, events: ProcessEvents, **arguments: Any) -> str:
        """Start a process, see ``do_start``. Returns the supervisor's status: ``started PID`` or
        ``failed ...``. Raises like :meth:`ask`.
        """
        self._processes[name] = events
        try:
            status = self.ask("start", limit_s=_START_S, name=name, **arguments)["status"]
        except BaseException:
            self._processes.pop(name, None)
            raise
        return str(status)

    # -- life --------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the agent and everything that it started. Idempotent."""
        if self._process.exit_code is None:
            self._process.close_stdin(self._grace_s)
        self._process.stop()
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> NodeAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ------------------------------------------------------------------------------------

    def _write(self, data: bytes, limit_s: float) -> None:
        """Send a message. The rest that a halted agent does not take is sent before the next
        request.

        Raises:
            queue.Empty: the agent did not take all of it within `limit_s`.
            AgentGone: it ended.
        """
        deadline = time.monotonic() + limit_s
        with self._writing:
            self._unsent += data
            try:
                poll = select.poll()
                poll.register(self._process.stdin_fd, select.POLLOUT)
                while self._unsent:
                    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                        raise queue.Empty
                    part = self._unsent[: select.PIPE_BUF]  # More could block.
                    self._unsent = self._unsent[os.write(self._process.stdin_fd, part) :]
            except (OSError, ValueError):  # The listener thread notifies all waiting callers.
                self._gone.wait(_CLOSE_S)
        if self._gone.is_set():
            raise AgentGone(self.how_it_ended())

    def _listen(self) -> None:
        descriptor, rest = os.dup(self._process.stdout_fd), b""
        try:
            while data := os.read(descriptor, 1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._handle(line)
        finally:
            os.close(descriptor)
            self._gone.set()
            for replies in list(self._replies.values()):
                replies.put({"gone": True})
            for events in list(self._samplers.values()):
                events.ended(None, None)
            for process in list(self._processes.values()):
                process.exited(None)

    def _handle(self, line: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # A login shell's greeting, for example.
            message = msgspec.json.decode(line, type=dict[str, Any])
            if events := self._samplers.get(message.get("sample", "")):
                events.reading(message)
            elif events := self._samplers.pop(message.get("ended", ""), None):
                events.ended(message["code"], message["error"])
            elif process := self._processes.get(message.get("log", "")):
                process.printed(message["text"])
            elif process := self._processes.get(message.get("halted", "")):
                process.halted()
            elif process := self._processes.pop(message.get("exited", ""), None):
                process.exited(message["code"])
            elif replies := self._replies.get(message.get("id", 0)):
                replies.put(message)

    def how_it_ended(self) -> str:
        """How the agent or its channel ended, as far as known."""
        code = self._process.wait(_CLOSE_S)
        if code is not None and 128 < code <= 128 + signal.NSIG:  # 255: ssh failed.
            return f"the agent on {self.host} was killed by signal {code - 128}"
        ended = f"the agent on {self.host} ended with code {code}"
        return ": ".join([ended, *self._said()[-1:]])

    def _said(self) -> list[str]:
        """The lines that it wrote to its log."""
        if self.log is None:
            return []
        try:
            text = self.log.read_bytes()[self._earlier :].decode(errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _start_thread(self, work: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=args, name=f"node {self.host}", daemon=True)
        thread.start()
        return thread

    def _keep_alive(self, every_s: float) -> None:
        """Show the agent that this process is still there."""
        while not self._gone.wait(every_s):
            with contextlib.suppress(AgentError, queue.Empty):
                self._write(b"\n", _BEAT_S)

    def _measure_offset(self) -> int:
        """The offset of the host's monotonic clock, from the fastest of several messages."""
        found = []
        for _ in range(_CLOCK_TRIES):
            before = time.monotonic_ns()
            there = self.ask("clock")["t"]
            after = time.monotonic_ns()
            found.append((after - before, (before + after) // 2 - there))
        took, offset = min(found)
        # The difference is below the message time: it is the same clock, on one host.
        return 0 if abs(offset) <= took else offset
