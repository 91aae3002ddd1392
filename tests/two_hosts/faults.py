"""A run over two hosts, one of whose processes is killed or ended at some moment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
from processes import marked

from . import HERE, Host, Hosts

TARGETS = ("bench", "ssh", "sshd", "guard", "agent", "supervisor", "engine")
SIGNALS = ("KILL", "TERM")
MOMENTS = ("before ready", "in a point", "while stopping")
LIMIT_S = 60.0
SUITE = """
deployments:
  - engine: {{ranked: {{load_s: {slow_s}, stop_s: {slow_s}}}}}
    launcher: {{ssh: {{hosts: [east, west], config: {config}}}}}
    hardware: cpu
workloads: [{{random: {{input_tokens: 8, output_tokens: 8}}}}]
load: {{concurrency: [2], repeats: 1, duration_s: 1, stall_timeout_s: 2}}
reporters: [console]
"""


@attrs.frozen(kw_only=True)
class Outcome:
    """The end of a run with one fault. `left`: on the hosts and here; `state`: in its run.json."""

    target: str
    fault: str
    moment: str
    exit_code: int | None
    state: str | None
    said: str
    left: list[str]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What is wrong with it."""
        found = [f"left: {what}" for what in self.left]
        if self.exit_code is None:
            found.append(f"it did not end within {LIMIT_S:g} s")
        if (self.target, self.fault) != ("bench", "KILL"):
            if self.state not in ("complete", "failed", "interrupted"):
                found.append(f"run.json says {self.state}")
            if self.exit_code and not ("error: " in self.said and "hint: " in self.said):
                found.append(f"exit code {self.exit_code} without error and hint: {self.said}")
        if "is a bug in bench:" in self.said or "Traceback" in self.said:
            found.append(f"a bug: {self.said}")
        return found


class Run:
    """A `bench run` in a folder of its own, over two hosts.

    `slow_s`: how long the server takes to start, and to end.
    """

    def __init__(self, hosts: Hosts, folder: Path, *, slow_s: float = 0.0) -> None:
        self.hosts, self.folder, self.mark = hosts, folder, uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        (folder / "suite.yaml").write_text(SUITE.format(config=hosts.config, slow_s=slow_s))
        site = os.pathsep.join(filter(None, [str(HERE.parent / "site"), os.getenv("PYTHONPATH")]))
        own = {"PYTHONPATH": site, "TOKENBENCH_TEST_MARK": self.mark, "TMPDIR": str(self.temporary)}
        command = (sys.executable, "-P", "-m", "tokenbench.cli.main", "run", "suite.yaml")
        with (folder / "err").open("wb") as err, (folder / "out").open("wb") as out:
            self.bench = subprocess.Popen(
                (*hosts.enter, *command, "--allow-invalid"),
                cwd=folder,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (*self.here(), *self.on_hosts()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.bench.kill()
        self.bench.wait()

    @property
    def said(self) -> str:
        """Its standard error."""
        return (self.folder / "err").read_text(errors="replace")

    def here(self) -> dict[int, str]:
        """Its processes on this machine."""
        return {pid: " ".join(words) for pid, words in marked(self.mark).items()}

    def on_hosts(self) -> dict[int, str]:
        """The processes of both hosts."""
        hosts = self.hosts.by_name.values()
        return {pid: line for host in hosts for pid, line in host.processes().items()}

    def find(self, target: str, host: Host) -> int | None:
        """The process id of a target: of the processes between bench and the rank of a host."""
        if target == "bench":
            return self.bench.pid
        if target == "ssh":
            lines = self.here().items()
            clients = [
                p for p, line in lines if line.startswith("ssh ") and f" {host.name} " in line
            ]
            return min(clients, default=None)
        chain = _ancestors(_engine(host))
        if target == "sshd":
            return next((p for p in chain if host.processes().get(p, "").startswith(target)), None)
        return dict(zip(("engine", "supervisor", "agent", "guard"), chain, strict=False)).get(
            target
        )

    def wait_for(self, moment: str) -> bool:
        """Wait for a moment; False if the run ends before."""
        here: dict[str, Callable[[], bool]] = {
            "before ready": lambda: all(map(_engine, self.hosts.by_name.values())),
            "in a point": lambda: "event=measuring" in self.said,
            "while stopping": lambda: any(
                "stopping" in file.read_text()
                for file in self.folder.glob("runs/*/**/server-0.log")
            ),
        }
        while not here[moment]():
            if self.bench.poll() is not None:
                return False
            time.sleep(0.01)
        time.sleep(0.3)
        return self.bench.poll() is None

    def left(self) -> list[str]:
        """What is left here and on the hosts, some seconds after the end."""
        deadline = time.monotonic() + 15.0
        while True:
            found = [f"here: {line}" for line in self.here().values()]
            found += [f"here: {path.name}" for path in self.temporary.iterdir()]
            for host in self.hosts.by_name.values():
                found += [f"{host.name}: {what}" for what in host.left()]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def outcome(self, target: str, fault: str, moment: str) -> Outcome:
        """Wait for its end, and for that of its processes."""
        since = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.bench.wait(LIMIT_S)
        seconds = round(time.monotonic() - since, 2)
        states = [json.loads(f.read_bytes())["state"] for f in self.folder.glob("runs/*/run.json")]
        return Outcome(
            target=target,
            fault=fault,
            moment=moment,
            exit_code=self.bench.returncode,
            state=states[0] if states else None,
            said=" | ".join(self.said.splitlines()[-2:]),
            left=self.left(),
            seconds=seconds,
        )


def strike(hosts: Hosts, folder: Path, target: str, fault: str, moment: str) -> Outcome:
    """Run, send the signal to the target on the second host at the moment, see what becomes."""
    with Run(hosts, folder, slow_s=1.0) as run:
        host = list(hosts.by_name.values())[1]
        pid = run.find(target, host) if run.wait_for(moment) else None
        if pid is None:
            raise RuntimeError(f"no {target} {moment}: {run.said}")
        os.kill(pid, getattr(signal, f"SIG{fault}"))
        return run.outcome(target, fault, moment)


def _engine(host: Host) -> int | None:
    lines = host.processes().items()
    return next((p for p, line in lines if "ranked.py" in line and "supervisor" not in line), None)


def _ancestors(pid: int | None) -> list[int]:
    """A process, its parent and so on."""
    found = []
    while pid:
        found.append(pid)
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            break
        pid = int(text.rpartition(")")[2].split()[1])
    return found
