"""What becomes of a run when one of its processes is killed, ended or halted.

``python benchmarks/process_faults.py --moments 10``: for each process and each signal, as many
runs as there are moments, spread over the life of that process; then the same with an external
server that is killed, halted or restarted. Prints a table in Markdown; exits with 1 if a run left
a process or a folder behind, or has no final state. Rows of runs are appended to ``--rows``; a
second call continues there.

The engine is the scripted server of the tests: what the engine is does not matter here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tokenbench.launch.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = ("KILL", "TERM", "INT", "STOP")
PROCESSES = {
    "bench": "",
    "load worker": "tokenbench.load.worker",
    "engine": "tokenbench_testing.server",
    "engine's agent": "agent.py",
    "node agent": "agent.py",
    "sampler": "agent.py",
    "eval worker": "tokenbench.evals.worker",
}
"""The processes of a run, and what is in the command line of each. The engine's agent starts the
engine; the node agent has the sampler, a child without a supervisor of its own. Each agent is the
child of its guard, with the same command line.
"""
OTHERS = tuple(name for name in PROCESSES if name not in ("bench", "sampler"))
TARGETS = (*PROCESSES, *(f"supervisor of {name}" for name in OTHERS))
SERVER_FAULTS = ("killed", "halted", "restarted")
FINAL = {"complete", "failed", "interrupted"}
HALT_S = 3.0
LIMIT_S = 90.0
SCRIPT = "--ttft-s 0.02 --itl-s 0.01"
SUITE = """
deployments: [{{engine: {engine}}}]
workloads: [{{random: {{input_tokens: 8, output_tokens: 8}}}}]
load: {{concurrency: [2], repeats: 2, duration_s: {seconds}, stall_timeout_s: 2}}
reporters: [console]
"""
EVAL = "evals: [{demo: {limit: 16}}]\n"


@attrs.frozen(kw_only=True)
class Outcome:
    """The end of a run with one fault. `state`: None without a run directory."""

    target: str
    fault: str
    moment: int
    exit_code: int
    state: str | None
    complaint: str
    left: list[str]
    folders: list[str]
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What is wrong with it."""
        found = [f"left running: {command}" for command in self.left]
        found += [f"left behind: {folder}" for folder in self.folders]
        killed = (self.target, self.fault) == ("bench", "KILL")
        if self.state not in FINAL | {None} | ({"running"} if killed else set()):
            found.append(f"run.json says {self.state}")
        explained = "error: " in self.complaint and "hint: " in self.complaint
        if self.state is not None and self.exit_code > 0 and not explained:
            found.append(f"exit code {self.exit_code} without error and hint: {self.complaint}")
        if "is a bug in bench:" in self.complaint or "Traceback" in self.complaint:
            found.append(f"a bug: {self.complaint}")
        return found


class Run:
    """A `bench run` in a folder of its own. A context manager that leaves no process."""

    def __init__(
        self, folder: Path, *, engine: str = "", seconds: float = 1.0, evals: bool = True
    ) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        engine = engine or json.dumps({"scripted": {"script": SCRIPT}})
        suite = SUITE.format(engine=engine, seconds=seconds) + (EVAL if evals else "")
        (folder / "suite.yaml").write_text(suite)
        site = os.pathsep.join(filter(None, [str(ROOT / "tests/site"), os.getenv("PYTHONPATH")]))
        own = {"PYTHONPATH": site, "TOKENBENCH_TEST_MARK": self.mark, "TMPDIR": str(self.temporary)}
        self.started = time.monotonic()
        with (folder / "err").open("wb") as err:
            self.bench = subprocess.Popen(
                [sys.executable, "-P", "-m", "tokenbench.cli.main", "run", "suite.yaml"],
                cwd=folder,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.processes():
            _signal(pid, "KILL")
        self.bench.kill()
        self.bench.wait()

    @property
    def said(self) -> str:
        """Its standard error."""
        return (self.folder / "err").read_text(errors="replace")

    @property
    def state(self) -> str | None:
        """The state in its run.json; None before there is one."""
        for file in self.folder.glob("runs/*/run.json"):
            state: str = json.loads(file.read_bytes())["state"]
            return state
        return None

    @property
    def results(self) -> list[dict[str, Any]]:
        """Its results so far."""
        files = self.folder.glob("runs/*/results.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def processes(self) -> dict[int, list[str]]:
        """Those of the run, with their command lines."""
        found = {}
        mark = f"TOKENBENCH_TEST_MARK={self.mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes():
                    words = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")
                    if any(words):
                        found[int(folder.name)] = words
        return found

    def find(self, target: str) -> int | None:
        """The process id of a target."""
        if target == "bench":
            return self.bench.pid if self.bench.poll() is None else None
        of = target.removeprefix("supervisor of ")
        text = PROCESSES[of]
        plain: dict[int, int] = {}
        supervisors: dict[int, int] = {}
        for pid, words in self.processes().items():
            supervisor = any(word.endswith("supervisor.py") for word in words[:4])
            if any(text == word or f'"{text}"' in word for word in words):
                parent = _parent(pid)
                if parent is not None:
                    (supervisors if supervisor else plain)[pid] = parent
        if text == "agent.py":
            return self._agent(of, plain, supervisor=target != of)
        found = plain if target == of else supervisors
        return next((pid for pid, parent in found.items() if parent not in found), None)

    def _agent(self, target: str, found: dict[int, int], *, supervisor: bool) -> int | None:
        """An agent, its sampler or its supervisor, among the processes with its command line."""
        guards = [pid for pid, parent in found.items() if parent not in found]
        agents = {pid: parent for pid, parent in found.items() if parent in guards}
        engine = self.find("supervisor of engine")
        with contextlib.suppress(OSError):
            engines = {_parent(engine)} if engine is not None else set()
            if target == "sampler":
                return next((pid for pid, parent in found.items() if parent in agents), None)
            for pid, guard in agents.items():
                if (pid in engines) == (target == "engine's agent"):
                    return _parent(guard) if supervisor else pid
        return None

    def wait_for(self, target: str) -> int | None:
        """Its process id, once it runs; None if the run ends before."""
        while (pid := self.find(target)) is None and self.bench.poll() is None:
            time.sleep(0.01)
        return pid

    def wait_until_said(self, text: str) -> None:
        """Wait for a line of its progress."""
        while text not in self.said and self.bench.poll() is None:
            time.sleep(0.01)

    def outcome(self, target: str, fault: str, moment: int) -> Outcome:
        """Wait for its end, and for that of its processes."""
        since = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.bench.wait(LIMIT_S)
        seconds = time.monotonic() - since
        left = [" ".join(words) for words in self._left().values()]
        return Outcome(
            target=target,
            fault=fault,
            moment=moment,
            exit_code=124 if self.bench.returncode is None else self.bench.returncode,
            state=self.state,
            complaint=" | ".join(self.said.splitlines()[-2:]),
            left=left,
            folders=[path.name for path in self.temporary.iterdir()],
            seconds=round(seconds, 2),
        )

    def _left(self) -> dict[int, list[str]]:
        """Processes that still run some seconds after the end."""
        deadline = time.monotonic() + 15.0
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _signal(pid: int, name: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, f"SIG{name}"))


def strike(run: Run, target: str, name: str, moment: int = 0) -> Outcome:
    """Send a signal to a process of a run; see what becomes of the run."""
    pid = run.find(target)
    if pid is not None:
        _signal(pid, name)
        if (target, name) == ("bench", "STOP"):
            time.sleep(HALT_S)
            _signal(pid, "CONT")
    return run.outcome(target, name, moment)


@contextlib.contextmanager
def server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An external server."""
    command = (sys.executable, "-m", "tokenbench_testing.server", "--port", str(port))
    process = subprocess.Popen((*command, *SCRIPT.split()), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def strike_server(folder: Path, fault: str, after_s: float, moment: int = 0) -> Outcome:
    """Kill, halt or restart an external server while a run measures it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    engine = json.dumps({"openai": {"base_url": url, "model": "m", "start_timeout_s": 5}})
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(server(port))
        run = stack.enter_context(Run(folder, engine=engine, evals=False))
        run.wait_until_said("event=measuring")
        time.sleep(after_s)
        _signal(process.pid, "STOP" if fault == "halted" else "KILL")
        if fault == "restarted":
            process.wait()
            time.sleep(0.5)
            stack.enter_context(server(port))
        return run.outcome("external server", fault, moment)


def lives() -> dict[str, tuple[float, float]]:
    """When each target starts and ends in an undisturbed run, in seconds from its start."""
    seen: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder)) as run:
        while run.bench.poll() is None:
            for target in TARGETS:
                if run.find(target) is not None:
                    now = time.monotonic() - run.started
                    seen.setdefault(target, [now, now])[1] = now
        if set(seen) != set(TARGETS):
            sys.exit(f"an undisturbed run failed:\n{run.said}")
    return {target: (first, last) for target, (first, last) in seen.items()}


def read(rows: Path) -> list[Outcome]:
    """The runs so far."""
    return [Outcome(**json.loads(line)) for line in rows.read_text().splitlines()]


def measure(rows: Path, moments: int) -> None:
    """All runs that `rows` lacks."""
    known = {(one.target, one.fault, one.moment) for one in read(rows)}
    spans = lives()
    jobs = [(t, f, m) for t in TARGETS for f in SIGNALS for m in range(moments)]
    jobs += [("external server", f, m) for f in SERVER_FAULTS for m in range(moments)]
    for target, fault, moment in jobs:
        if (target, fault, moment) in known:
            continue
        share = (moment + 0.5) / moments
        with tempfile.TemporaryDirectory() as name:
            if target == "external server":
                found = strike_server(Path(name, "run"), fault, 2.5 * share, moment)
            else:
                with Run(Path(name, "run")) as run:
                    run.wait_for(target)
                    first, last = spans[target]
                    time.sleep((last - first) * share)
                    found = strike(run, target, fault, moment)
        with rows.open("a") as out:
            out.write(json.dumps(attrs.asdict(found)) + "\n")
        print(target, fault, moment, found.problems or "ok", file=sys.stderr)


def table(outcomes: list[Outcome]) -> str:
    """A row per target and fault."""
    names = (
        *("process", "fault", "runs", "exit codes", "final states", "left running"),
        *("folders left", "longest until the end", "problems"),
    )
    lines = [
        f"| {' | '.join(names)} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.target, one.fault), []).append(one)
    for (target, fault), group in groups.items():
        cells: list[Any] = [target, fault, len(group)]
        cells.append(_counts(one.exit_code for one in group))
        cells.append(_counts(one.state or "no run directory" for one in group))
        cells.append(sum(len(one.left) for one in group))
        cells.append(sum(len(one.folders) for one in group))
        cells.append(f"{max(one.seconds for one in group):.1f} s")
        cells.append("; ".join(dict.fromkeys(p for one in group for p in one.problems)) or "none")
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def _counts(values: Iterator[Any]) -> str:
    counted: dict[Any, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    return ", ".join(f"{value} ({count})" for value, count in sorted(counted.items(), key=str))


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--rows", type=Path, default=Path("process_faults.jsonl"))
    args = parser.parse_args()
    args.rows.touch()
    with contextlib.suppress(KeyboardInterrupt):
        measure(args.rows, args.moments)
    outcomes = read(args.rows)
    print(table(outcomes))
    sys.exit(any(one.problems for one in outcomes))


if __name__ == "__main__":
    main()
