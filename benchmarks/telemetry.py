"""What sampling costs: the node agent with 8 GPUs, and what bench itself does with the samples.

The GPUs are those of the plugin's stand-in for NVIDIA's driver library, read through the real
nvidia-ml-py. A real driver takes longer for a call; the rest is the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tokenbench.api import Host
from tokenbench.guard.owner import Owner
from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.node.program import RunningProgram
from tokenbench.telemetry.collect import Telemetry, Watched

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "plugins" / "hardware" / "nvidia" / "tests" / "nvml_stub.c"
DEVICES = tuple(range(8))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row (default: 20)")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or importlib.util.find_spec("pynvml") is None:
        sys.exit("error: no C compiler, or nvidia-ml-py is not installed\nhint: make .venv/.dev")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        library = Path(name) / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, STUB], check=True)
        os.environ["LD_LIBRARY_PATH"] = name
        for interval_s in (1.0, 0.25, 0.1):
            rows.append(measure(Path(name), interval_s, args.seconds))
            print(text(rows[-1]), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2))


def measure(folder: Path, interval_s: float, seconds: float) -> dict[str, float]:
    """CPU time of the agent with its sampler, and of bench, in shares of one core."""
    from tokenbench_hardware_nvidia.hardware import NvidiaGpus

    program = NvidiaGpus().program()
    owner = Owner("hardware", "nvidia", "tokenbench-hardware-nvidia")
    telemetry = Telemetry(folder, interval_s)
    try:
        here = Host(name="localhost", address="127.0.0.1", python=sys.executable)
        agent: NodeAgent = telemetry.agent(here, tuple, None)
        running = RunningProgram(agent, owner, program)
        watched = Watched(hardware="nvidia", owner=owner, domain="accelerator", devices=DEVICES)
        telemetry.watch(agent, running, watched)
        telemetry.wait()
        begun, ns = time.monotonic(), time.monotonic_ns()
        before, own = sum(cpu_s(pid) for pid in tree(agent.facts["pid"])), time.process_time()
        time.sleep(seconds)
        taken = time.monotonic() - begun
        after, own = sum(cpu_s(pid) for pid in tree(agent.facts["pid"])), time.process_time() - own
        samples = telemetry.readings(ns, time.monotonic_ns())
        return {
            "interval_s": interval_s,
            "samples_per_s": len(samples) / taken,
            "agent_cpu_share": (after - before) / taken,
            "bench_cpu_share": own / taken,
            "cpu_ms_per_reading": (after - before + own) / (len(samples) / len(DEVICES)) * 1e3,
        }
    finally:
        telemetry.close()


def text(row: dict[str, float]) -> str:
    """One row of the table."""
    return (
        f"8 GPUs every {row['interval_s']:g} s: agent {row['agent_cpu_share'] * 100:.2f} %, "
        f"bench {row['bench_cpu_share'] * 100:.2f} % of a core, "
        f"{row['cpu_ms_per_reading']:.2f} ms of CPU a reading, {row['samples_per_s']:.1f} samples/s"
    )


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def cpu_s(pid: int) -> float:
    """User and system time of a process, see proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


if __name__ == "__main__":
    main()
