"""The node agent. It runs on each host of a deployment, for as long as the deployment does.

One file, standard library only, Python 3.8 or newer: a host needs nothing else. `bench` sends this
text through a launcher's channel (see `client`), which connects standard input and output. Both
carry JSON, one object a line. A request is ``{"id": 1, "do": NAME, ...}``; its reply has the same
`id` and ``"result"`` or ``"error"``. `NAME` selects a method ``do_NAME`` below, whose docstring
lists the other keys. These messages come unrequested: readings, ``{"sample": PROGRAM, "t":
monotonic_ns, "w": wall_ns, "s": [...]}``, the end of a sampler, ``{"ended": PROGRAM, "code": exit
code, "error": text or null}``, the end of a process, ``{"exited": NAME, "code": exit code}``, a
process halted by a signal, ``{"halted": NAME}``, and a process's output where bench cannot read its
log, ``{"log": NAME, "text": ...}``.

When standard input ends, or on SIGTERM, the agent ends all processes that it started and removes
its folder. If the agent is killed, its parent (the guard) does this.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import platform
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
CLOSE_S = 2.0
"""Time that a sampler has to release its driver."""
ELSEWHERE = "shared-with-hosts"
"""A link in the agent's folder."""
CHUNK = 1 << 16
MOST_OUTPUT = 1 << 20
"""Bytes kept of each output of a child."""
LOG_EVERY_S = 0.2
"""Interval at which logs of processes are read."""
HALT_LIMIT_S = 5.0
"""A process halted by a signal is reported after this time."""
LOWEST_PORT, HIGHEST_PORT = 10000, 32767
"""Some servers store a port in a signed 16-bit integer. The kernel uses higher ports for outgoing
connections, even while a server is still loading."""


class Child:
    """A child process. `outputs` maps its descriptors to the bytes read so far. `on_output` and
    `on_end` are called with its output and at its end.
    """

    def __init__(
        self, pid: int, outputs: dict[int, bytearray], control: int, limit_s: float | None
    ) -> None:
        self.pid = pid
        self.outputs = outputs
        self.control = control
        self.deadline = None if limit_s is None else time.monotonic() + limit_s
        self.code: int | None = None
        self.late = False
        self.close_s = CLOSE_S
        self.command: int | None = None
        self.halted_at: int | None = None
        self.halted_since = 0.0
        self.open = set(outputs)
        self.on_output: Callable[[int], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None


class Agent:
    """Answers requests until standard input ends."""

    def __init__(self, read: int, write: int, folder: str) -> None:
        self.read, self.write = read, write
        self.folder = folder
        self.children: list[Child] = []
        self.samplers: dict[str, Child] = {}
        self.processes: dict[str, Child] = {}
        self.logs: dict[str, Any] = {}
        self.ports: set[int] = set()
        self.left = bytearray()
        self.silence_s = 0
        self.ending = False

    # -- the loop ----------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until standard input ends."""
        try:
            # Output of a login shell may have no line end.
            self.send_line(b"")
            while not self.ending:
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """Wait for the next event and handle it."""
        descriptors = {fd: child for child in self.children for fd in child.open}
        ready, _, _ = select.select([self.read, *descriptors], [], [], self.pause_s())
        if self.read in ready:
            self.receive()
        for descriptor in ready:
            if descriptor in descriptors:
                self.collect(descriptors[descriptor], descriptor)
        for name in self.logs:
            self.follow(name)
        for name, child in self.processes.items():
            self.watch_halt(name, child)
        self.reap()

    def pause_s(self) -> float:
        """Seconds until the next child may have ended or is late."""
        if any(not child.open for child in self.children):
            return 0.01
        ends = [child.deadline for child in self.children if child.deadline is not None]
        most_s = LOG_EVERY_S if self.logs else 1.0
        return min([most_s, *(max(0.0, end - time.monotonic()) for end in ends)])

    def receive(self) -> None:
        data = os.read(self.read, CHUNK)
        if not data:
            self.ending = True
            return
        # Also while a dead channel does not take its output.
        signal.alarm(self.silence_s)
        self.left += data
        *lines, rest = self.left.split(b"\n")
        self.left = bytearray(rest)
        for line in lines:
            if line.strip():
                self.handle(json.loads(line.decode()))

    def handle(self, request: dict[str, Any]) -> None:
        """Answer one request. A failure is an answer, too."""
        try:
            getattr(self, "do_" + request["do"])(request)
        except Exception as error:
            traceback.print_exc()
            self.reply(request, error=f"{type(error).__name__}: {error}")

    def reply(self, request: dict[str, Any], **answer: Any) -> None:
        self.send({"id": request["id"], **answer})

    def send(self, message: dict[str, Any]) -> None:
        self.send_line(json.dumps(message).encode())

    def send_line(self, line: bytes) -> None:
        write_all(self.write, line + b"\n")

    # -- requests ----------------------------------------------------------------------------------

    def do_hello(self, request: dict[str, Any]) -> None:
        """Facts of the host, and its clocks."""
        self.reply(
            request,
            result={
                "host": platform.node(),
                "boot": boot_id(),
                "python": platform.python_version(),
                "prefix": sys.prefix,
                "pid": os.getpid(),
                "pids": pid_namespace(),
                "folder": self.folder,
                "cpus": usable_cpus(),
                **clocks(),
            },
        )

    def do_machine(self, request: dict[str, Any]) -> None:
        """The facts of :func:`machine`, and the variables that begin with one of `prefixes`."""
        prefixes = tuple(request["prefixes"])
        variables = {k: v for k, v in os.environ.items() if k.startswith(prefixes)}
        self.reply(request, result={**machine(), "environment": variables})

    def do_expect(self, request: dict[str, Any]) -> None:
        """End as on SIGTERM if nothing arrives for `silence_s` (whole seconds): after a silent loss
        of the network, the channel stays open for hours.
        """
        self.silence_s = request["silence_s"]
        signal.alarm(self.silence_s)
        self.reply(request, result={})

    def do_clock(self, request: dict[str, Any]) -> None:
        """``{"t": monotonic_ns, "w": wall_ns}``."""
        self.reply(request, result=clocks())

    def do_program(self, request: dict[str, Any]) -> None:
        """Store a node program: `name`, `files` (path: text)."""
        for path, text in request["files"].items():
            parts = path.split("/")
            if path.startswith("/") or ".." in parts:
                raise ValueError("a path outside of the program's folder: " + path)
            target = os.path.join(self.program(request), *parts)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as out:
                out.write(text)
        self.reply(request, result={})

    def do_probe(self, request: dict[str, Any]) -> None:
        """Call a program's ``probe(options)``: `name`, `module`, `options`, `timeout_s`."""
        read, write = os.pipe()

        def work() -> None:
            found = load(self.program(request), request["module"]).probe(request["options"])
            write_all(write, json.dumps(found, allow_nan=False).encode())

        child = self.fork(work, [read], [write], limit_s=request["timeout_s"])

        def end() -> None:
            text = bytes(child.outputs[read])
            if child.late:
                self.reply(request, error="late", late=True)
            elif child.code != 0 or not text:
                self.reply(request, error=said(text, child))
            elif len(text) >= MOST_OUTPUT:
                self.reply(request, error="a result of more than 1 MiB")
            else:
                self.send_line(b'{"id": %d, "result": %s}' % (request["id"], text))

        child.on_end = end

    def do_sample(self, request: dict[str, Any]) -> None:
        """Start a program's sampler: `name`, `module`, `options`, `devices`, `interval_s`."""
        name = request["name"]
        read, write = os.pipe()

        def work() -> None:
            module = load(self.program(request), request["module"])
            sampler = module.sampler(request["options"], request["devices"])
            if sampler is not None:
                sample(name, sampler, request["interval_s"], write)

        child = self.fork(work, [read], [write])
        self.samplers[name] = child

        def forward(descriptor: int) -> None:
            *lines, rest = child.outputs[descriptor].split(b"\n")
            child.outputs[descriptor] = bytearray(rest)
            for line in lines:
                self.send_line(bytes(line))

        def end() -> None:
            failed = child.code is not None and child.code != 0
            text = said(bytes(child.outputs[read]), child) if failed else None
            self.samplers.pop(name, None)
            self.send({"ended": name, "code": child.code, "error": text})

        child.on_output, child.on_end = forward, end
        self.reply(request, result={"pid": child.pid})

    def do_stop(self, request: dict[str, Any]) -> None:
        """End the sampler `name`."""
        child = self.samplers.get(request["name"])
        if child is not None:
            release(child)
        self.reply(request, result={})

    def do_folders(self, request: dict[str, Any]) -> None:
        """Store the text of the `supervisor`. Make the folders of the processes `names`, and the
        folder that they share: `shared`, or one of this host if that is null.
        """
        with open(os.path.join(self.folder, "supervisor.py"), "w", encoding="utf-8") as out:
            out.write(request["supervisor"])
        for name in [*request["names"], "shared"]:
            os.makedirs(os.path.join(self.folder, name, "tmp"))
        if request["shared"]:
            os.symlink(request["shared"], os.path.join(self.folder, ELSEWHERE))
            os.makedirs(request["shared"], exist_ok=True)
        self.reply(request, result={})

    def do_ports(self, request: dict[str, Any]) -> None:
        """Find consecutive free ports, as many as each of `counts`; the first of each."""
        self.reply(request, result=[self.free_ports(count) for count in request["counts"]])

    def do_port_fault(self, request: dict[str, Any]) -> None:
        """Why a server cannot listen at `port`; null if it can."""
        with socket.socket() as probe:
            # As servers do: a socket in TIME_WAIT does not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", request["port"]))
            except OSError as error:
                self.reply(request, result=error.strerror)
                return
        self.reply(request, result=None)

    def do_exists(self, request: dict[str, Any]) -> None:
        """Whether there is a file or folder `path`."""
        self.reply(request, result=os.path.exists(request["path"]))

    def do_start(self, request: dict[str, Any]) -> None:
        """Start a process under the supervisor: `name`, `argv`, `environment`, `files` (name:
        text), `cpus`, `grace_s`, and `log`, a path in hexadecimal digits, or null to send its
        output.
        """
        name = request["name"]
        folder = os.path.join(self.folder, name)
        for file, text in request["files"].items():
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(text)
        log = os.path.join(self.folder, name + ".log")
        if request["log"] is not None:
            log = os.fsdecode(bytes.fromhex(request["log"]))
        read, write = os.pipe()

        child = self.fork(lambda: self.supervise(request, folder, log, write), [read], [write])
        child.close_s = request["grace_s"] + CLOSE_S
        self.processes[name] = child
        if request["log"] is None:
            self.logs[name] = open(log, "a+b")  # noqa: SIM115 - until the process ends
            self.logs[name].seek(0)

        def started(descriptor: int) -> None:
            line, end, _ = bytes(child.outputs[descriptor]).partition(b"\n")
            if end and child.on_output is started:
                child.on_output = lambda _: None
                if line.startswith(b"started "):
                    child.command = int(line.split()[1])
                self.reply(request, result={"status": line.decode(errors="replace")})

        def ended() -> None:
            if child.on_output is started:
                self.reply(request, error=said(bytes(child.outputs[read]), child))
            self.kill_left_behind()
            if name in self.logs:
                self.follow(name)
                self.logs.pop(name).close()
            del self.processes[name]
            self.send({"exited": name, "code": child.code})

        child.on_output, child.on_end = started, ended

    def supervise(self, request: dict[str, Any], folder: str, log: str, status: int) -> None:
        """In the child: become the supervisor of a process."""
        lifeline = os.dup(0)
        for descriptor in (lifeline, status):
            os.set_inheritable(descriptor, True)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
        # The lifeline tells it that the agent ended. It then ends everything that it started.
        prctl(PR_SET_PDEATHSIG, 0)
        options = {"lifeline": lifeline, "status": status, "grace": request["grace_s"]}
        options["scratch"] = folder
        if request["cpus"]:
            options["cpus"] = ",".join(map(str, request["cpus"]))
        command = [sys.executable, "-I", "-S", os.path.join(self.folder, "supervisor.py")]
        command += [f"{option}={value}" for option, value in options.items()]
        environment = own_environment(request["environment"], folder)
        os.execve(sys.executable, [*command, "--", *request["argv"]], environment)

    def do_terminate(self, request: dict[str, Any]) -> None:
        """Begin to end the processes `names`, in this order."""
        for name in request["names"]:
            if name in self.processes:
                # A halted process handles no signal.
                for number in (signal.SIGTERM, signal.SIGCONT):
                    os.kill(self.processes[name].pid, number)
        self.reply(request, result={})

    def program(self, request: dict[str, Any]) -> str:
        return os.path.join(self.folder, request["name"].replace("/", "_"))

    def watch_halt(self, name: str, child: Child) -> None:
        """Report once that a process stays halted, so that it uses no CPU time."""
        used = None if child.command is None else halted_at(child.command)
        now = time.monotonic()
        if used is None or used != child.halted_at:
            child.halted_at, child.halted_since = used, now
        elif now - child.halted_since > HALT_LIMIT_S:
            child.command = None
            self.send({"halted": name})

    def free_ports(self, count: int) -> int:
        """The first of `count` consecutive ports that nothing listens at."""
        lowest, highest = LOWEST_PORT, highest_port()
        # Start at a random port: other runs search for ports at the same time.
        tries = list(range(lowest, highest - count + 2))
        start = random.randrange(len(tries))
        for first in tries[start:] + tries[:start]:
            block = range(first, first + count)
            if not self.ports.intersection(block) and all(map(is_free, block)):
                self.ports.update(block)
                return first
        raise OSError(f"no {count} free ports from {lowest} to {highest}")

    def follow(self, name: str) -> None:
        """Send the output of a process since the last call."""
        while True:
            data = self.logs[name].read(CHUNK)
            if not data:
                return
            self.send({"log": name, "text": data.decode(errors="replace")})

    # -- processes ---------------------------------------------------------------------------------

    def fork(
        self,
        work: Callable[[], None],
        reads: list[int],
        writes: list[int],
        limit_s: float | None = None,
    ) -> Child:
        """A child that does `work`. It inherits `writes`; this process keeps `reads`. The child's
        standard input is a pipe, which is closed to end the child.
        """
        control_read, control_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.prepare(parent, control_read, writes)
                work()
                code = 0
            except BaseException as error:
                traceback.print_exc()
                line = traceback.format_exception_only(type(error), error)[-1].strip()
                write_all(writes[0], json.dumps({"error": line}).encode())
            finally:
                os._exit(code)
        os.close(control_read)
        for descriptor in writes:
            os.close(descriptor)
        child = Child(pid, {fd: bytearray() for fd in reads}, control_write, limit_s)
        self.children.append(child)
        return child

    def prepare(self, parent: int, control: int, writes: list[int]) -> None:
        """In the child: set its process group and standard input, and close descriptors of others.
        All processes of a host stay in one session: see the supervisor.
        """
        for number in (*ENDING, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.dup2(control, 0)
        # Programs may print: that goes to the log.
        os.dup2(2, 1)
        mine = {0, 1, 2, *writes}
        folder = "/proc/self/fd"
        for name in os.listdir(folder if os.path.isdir(folder) else "/dev/fd"):
            if int(name) not in mine:
                close(int(name))
        for descriptor in writes:
            os.set_inheritable(descriptor, False)

    def collect(self, child: Child, descriptor: int) -> None:
        """Read what it wrote."""
        data = os.read(descriptor, CHUNK)
        if not data:
            os.close(descriptor)
            child.open.discard(descriptor)
            return
        if len(child.outputs[descriptor]) < MOST_OUTPUT:
            child.outputs[descriptor] += data
        child.on_output(descriptor)

    def reap(self) -> None:
        """Handle children that ended, and kill those that are late."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for child in self.children:
                if child.pid == pid:
                    child.code = exit_code(status)
                    # Processes that it left behind keep its pipes open.
                    kill_group(child.pid)
        for child in list(self.children):
            if child.code is None and child.deadline and time.monotonic() > child.deadline:
                child.late = True
                child.deadline = None
                kill_group(child.pid)
            if child.code is not None:
                self.finish(child)

    def finish(self, child: Child) -> None:
        for descriptor in list(child.open):
            while descriptor in child.open and select.select([descriptor], [], [], 0)[0]:
                self.collect(child, descriptor)
            if descriptor in child.open:
                os.close(descriptor)
        close(child.control)
        self.children.remove(child)
        child.on_end()

    def close(self) -> None:
        """End everything that was started, and remove the folder."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        for child in self.children:
            release(child)
        deadline = time.monotonic() + max([c.close_s for c in self.children], default=0.0)
        while any(c.code is None for c in self.children) and time.monotonic() < deadline:
            time.sleep(0.005)
            self.note_ends()
        for child in self.children:
            kill_group(child.pid)
        kill_children()
        remove(self.folder)

    def kill_left_behind(self) -> None:
        """Kill the descendants of a process whose supervisor was killed."""
        kill_children(but={child.pid for child in self.children})

    def note_ends(self) -> None:
        for child in self.children:
            for descriptor in child.open:  # A full pipe would keep it from ending.
                if select.select([descriptor], [], [], 0)[0]:
                    os.read(descriptor, CHUNK)
            if child.code is None and os.waitpid(child.pid, os.WNOHANG)[0]:
                child.code = 0


# -- in the children -------------------------------------------------------------------------------


def load(folder: str, module: str) -> Any:
    """The module of a node program. Its own files take precedence."""
    sys.path.insert(0, folder)
    return importlib.import_module(module)


def sample(name: str, sampler: Any, interval_s: float, write: int) -> None:
    """Sample until standard input ends. After a late reading, continue at the interval."""
    due = time.monotonic()
    try:
        while True:
            line = {"sample": name, **clocks(), "s": sampler.sample()}
            write_all(write, json.dumps(line, allow_nan=False).encode() + b"\n")
            due = max(due + interval_s, time.monotonic())
            if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
                return
    finally:
        sampler.close()


# -- small things ----------------------------------------------------------------------------------


def clocks() -> dict[str, Any]:
    return {"t": time.monotonic_ns(), "w": time.time_ns()}


def boot_id() -> str:
    """An id that is equal for all processes of one running kernel that see the same files."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip() + " " + os.readlink("/proc/self/ns/mnt")
    except OSError:
        return platform.node()


def halted_at(pid: int) -> int | None:
    """CPU time of a process, in clock ticks, at which a signal such as SIGSTOP halted it; None if
    it is not halted. State T or t of proc_pid_stat(5).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None
    return int(fields[10]) + int(fields[11]) if state in (b"T", b"t") else None


def pid_namespace() -> str:
    """An id that is equal for processes that see each other's pids."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def machine() -> dict[str, Any]:
    """What of this host can change a number."""
    return {
        "host": platform.node(),
        "kernel": platform.system() + " " + platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def cpu_model() -> str:
    """The CPU model that the kernel reports."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def own_environment(given: dict[str, str], folder: str) -> dict[str, str]:
    """This process's environment with the given variables and a separate temporary folder."""
    return {**os.environ, "TMPDIR": os.path.join(folder, "tmp"), **given}


def highest_port() -> int:
    """The highest port that the kernel does not use for outgoing connections."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first = int(file.read().split()[0]) - 1
    except (OSError, ValueError):
        return HIGHEST_PORT
    # Some machines use nearly all ports for them.
    return min(first, HIGHEST_PORT) if first > LOWEST_PORT + 1000 else HIGHEST_PORT


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def said(text: bytes, child: Child) -> str:
    """Why a child failed: its last output, if there is any."""
    try:
        return str(json.loads(text.split(b"\n")[-1].decode())["error"])
    except (ValueError, KeyError, TypeError):
        code = child.code or 0
        if 128 < code <= 128 + signal.NSIG:
            return f"it was killed by signal {code - 128}"
        return f"it ended with code {code}"


def exit_code(status: int) -> int:
    """128 + N for signal N."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def release(child: Child) -> None:
    """Ask it to end: its standard input ends."""
    close(child.control)
    child.control = -1
    if child.deadline is None:
        child.deadline = time.monotonic() + child.close_s


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass  # It has ended.


def kill_children(but: Collection[int] = ()) -> None:
    """Kill what children left behind in other groups: it became this process's child."""
    for _ in range(100 if os.path.isdir("/proc") else 0):
        found = [int(name) for name in filter(is_child, os.listdir("/proc"))]
        left = [pid for pid in found if pid not in but]
        if not left:
            return
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)


def is_child(name: str) -> bool:
    if not name.isdigit():
        return False
    try:
        with open("/proc/" + name + "/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1]) == os.getpid()
    except (OSError, IndexError):
        return False


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass


def prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # Not Linux.


def main() -> None:
    """Use standard input and output for the channel. Other output goes to the log."""
    folder = guarded()
    read, write = os.dup(0), os.dup(1)
    null_input()
    os.dup2(2, 1)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    agent = Agent(read, write, folder)
    for number in ENDING:
        signal.signal(number, lambda *_: sys.exit())
    try:
        agent.serve()
    except (BrokenPipeError, SystemExit):
        pass  # bench is gone, or stops this.
    # Threads of libraries must not keep it running.
    os._exit(0)


def guarded() -> str:
    """Fork, and continue in the child, in the returned folder. The parent waits for the child's
    end, then removes remaining processes and the folder.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    folder, guard = tempfile.mkdtemp(prefix="bench-node-"), os.getpid()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guard:
            os._exit(1)
        return folder
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    null_input()
    os.dup2(2, 1)
    code = exit_code(os.waitpid(pid, 0)[1])
    kill_children()
    remove(folder)
    os._exit(code)


def remove(folder: str) -> None:
    """Remove the agent's folder and the folder shared with other hosts."""
    try:
        shutil.rmtree(os.readlink(os.path.join(folder, ELSEWHERE)), ignore_errors=True)
    except OSError:
        pass  # There is none.
    shutil.rmtree(folder, ignore_errors=True)


def null_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


if __name__ == "__main__":
    main()
