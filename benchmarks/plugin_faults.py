"""A plugin that raises, exits, hangs, prints or returns nonsense in each of its members.

``python benchmarks/plugin_faults.py`` runs `bench run` once for each member and fault, with the
plugin of `core/tests/api/site`, and prints a Markdown table: exit code, state in run.json, seconds,
processes left running, and the error. About 300 runs of a few seconds; ``--only REGEX`` selects
some, such as ``Engine.*=hang``. The exit code is 1 if a row is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

SITE = Path(__file__).resolve().parent.parent / "core" / "tests" / "api" / "site"
LIMITS = "all=4,device=1"
TIMEOUT_S = 120.0
HOW = ("raise", "exit", "interrupt", "hang", "stubborn", "print", "nonsense")
REGISTER = tuple(
    f"bench_register_{kind}"
    for kind in (
        *("engines", "hardware", "models", "workloads", "evals", "reporters", "launchers"),
        "codecs",
    )
)
OBSERVE = (
    *("bench_run_started", "bench_deployment_ready", "bench_point_started"),
    *("bench_point_finished", "bench_eval_finished", "bench_run_finished"),
)
CREATED = tuple(
    f"{base}.__init__"
    for base in (
        *("EngineOptions", "Engine", "Hardware", "Workload", "Tokenizer", "Eval", "Reporter"),
        "Launcher",
    )
)
CALLED = (
    *(f"Engine.{name}" for name in ("plan", "dialect", "planned_version", "tokenizer", "ready")),
    *(f"Engine.{name}" for name in ("version", "facts", "reset_cache", "quiescent", "counters")),
    *(f"Engine.{name}" for name in ("diagnose", "phase", "synthetic_acceptance", "negotiation")),
    *(f"Hardware.{name}" for name in ("catalogue", "settings", "program")),
    # Members of its node program, in the node agent's children.
    *("Node.probe", "Node.sampler", "NodeSampler.sample", "NodeSampler.close"),
    *(f"Workload.{name}" for name in ("context_tokens", "dataset_hash", "sessions")),
    "Session.next",
    *(f"Tokenizer.{name}" for name in ("vocab_size", "special_ids", "encode", "decode")),
    *(f"Eval.{name}" for name in ("needs", "questions", "ask", "score")),
    "Reporter.render",
    *("Launcher.allocate", "Launcher.channel", "Launcher.release"),
    *("Codec.encode", "Codec.classify"),
)
# Once more, where another process calls them: in a load worker, from that call on.
LATER = {"Session.next": 4, "Codec.encode": 4, "Codec.classify": 4}
# Errors of these do not end a run.
HARMLESS = (*OBSERVE, "NodeSampler.close", "Engine.phase", "Engine.diagnose")
# A sampler that hangs gives no samples: the point is flagged, the run goes on.
HARMLESS_FAULTS = ("Node.sampler=hang", "NodeSampler.sample=hang")
# A log is explained if a server does not become ready.
NOT_READY = ("Engine.diagnose",)
UNREADY = "recording:ready=no,start_timeout_s=1"


@attrs.frozen(kw_only=True)
class Row:
    """What became of a run."""

    fault: str
    code: int
    state: str
    seconds: float
    left: int
    out: str
    error: str

    @property
    def problem(self) -> str:
        """What is not as it should be; empty if nothing is."""
        member, _, how = self.fault.partition("=")
        how = how.partition("@")[0]
        fine = how == "print" or member in HARMLESS or self.fault in HARMLESS_FAULTS
        states: tuple[str, ...]
        if member in NOT_READY:
            expected, states = (5 if fine else 3), ("failed",)
        elif fine:
            expected, states = 0, ("complete",)
        else:
            expected, states = 3, ("complete" if member.startswith("Reporter.") else "failed", "")
        problems = []
        if self.code != expected:
            problems.append(f"exit code {self.code} instead of {expected}")
        if self.state not in states:
            problems.append(f"state {self.state!r}")
        if self.left:
            problems.append(f"{self.left} processes are left")
        if "noise" in self.out:
            problems.append("its print is on standard output")
        if expected == 3 and not ("recording" in self.error and "bug in bench" not in self.error):
            problems.append("the error does not name the plugin")
        return ", ".join(problems)


def faults() -> Iterator[str]:
    """All members and faults, as the plugin takes them."""
    for member in ("import", *REGISTER, "bench_amend_launch", *OBSERVE, *CREATED, *CALLED):
        for how in HOW:
            if how == "nonsense" and (member == "import" or member.endswith("__init__")):
                continue
            if how == "nonsense" and member in ("NodeSampler.close", "Launcher.release"):
                continue
            if how == "stubborn" and member not in LATER:
                continue  # As "hang", where another thread waits.
            yield f"{member}={how}"
            if member in LATER:
                yield f"{member}={how}@{LATER[member]}"


def try_fault(fault: str) -> Row:
    """Run `bench` with this fault."""
    mark = uuid.uuid4().hex
    engine = UNREADY if fault.startswith(NOT_READY) else "recording"
    command = [sys.executable, "-m", "tokenbench.cli.main", "run", "--engine", engine]
    for kind in ("model", "hardware", "launcher", "workload", "eval", "reporter", "use"):
        command += [f"--{kind}", "recording"]
    command += [
        "--concurrency",
        "1",
        "--requests",
        "4",
        "--repeats",
        "1",
        "--allow-invalid",
        "--no-canaries",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SITE), os.environ.get("PYTHONPATH", "")]),
        "RECORDING_FAULT": fault,
        "TOKENBENCH_PLUGIN_LIMITS_S": LIMITS,
        "TOKENBENCH_TEST_MARK": mark,
    }
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        seconds = time.monotonic() - begun
        states = [json.loads(f.read_text())["state"] for f in Path(folder).glob("runs/*/run.json")]
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    return Row(
        fault=fault,
        code=process.returncode,
        state="".join(states),
        seconds=seconds,
        left=_left(mark),
        out=out,
        error=lines[-1].removeprefix("error: ") if lines else "",
    )


def _left(mark: str, seconds: float = 5.0) -> int:
    """Processes with the mark that do not end within `seconds`."""
    deadline = time.monotonic() + seconds
    while found := _marked(mark.encode()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return found


def _marked(mark: bytes) -> int:
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += mark in (folder / "environ").read_bytes() and bool(
                (folder / "cmdline").read_bytes()
            )
        except OSError:
            continue
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="REGEX")
    wanted = re.compile(parser.parse_args().only)
    print("| member | fault | exit | state | s | left | error | as it should be |")
    print("|---|---|---|---|---|---|---|---|")
    bad = total = 0
    for fault in faults():
        if not wanted.search(fault):
            continue
        row = try_fault(fault)
        member, _, how = fault.partition("=")
        cells = (member, how, row.code, row.state or "-", f"{row.seconds:.1f}", row.left)
        print(
            "|",
            " | ".join(map(str, cells)),
            "|",
            row.error,
            "|",
            row.problem or "yes",
            "|",
            flush=True,
        )
        total, bad = total + 1, bad + bool(row.problem)
    print(f"\n{total} runs, {bad} not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
