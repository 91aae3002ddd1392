"""Startup time of `bench run`, and its memory for few and for many requests.

``python benchmarks/bench_run.py`` runs the command against a running scripted server. It prints the
time to the first request, and the peak memory of all processes of the command (without the server).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024
_SAMPLE_S = 0.02


@contextmanager
def server() -> Iterator[int]:
    """Run the scripted server of tokenbench_testing; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
    process = subprocess.Popen([*command, "--itl-s", "0.001"], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        process.stderr.readline()
        yield port
    finally:
        process.kill()
        process.wait()


def _process_tree(root: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def run(port: int, requests: int, folder: Path) -> tuple[float, int]:
    """Run once; returns the seconds to the first request, and the peak memory in bytes.

    Shared pages are counted for each process, so the memory is an upper bound.
    """
    engine = f"openai:base_url=http://127.0.0.1:{port},model=scripted"
    workload = "random:input_tokens=16,output_tokens=8"
    command = [sys.executable, "-m", "tokenbench.cli.main", "run", "--engine", engine]
    command += ["--workload", workload, "--concurrency", "16", "--requests", str(requests)]
    command += ["--repeats", "1", "--reporter", "files", "--allow-invalid", "--runs", str(folder)]
    # Bytecode is cached, as in an installed package.
    compiled = {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    start_ns, peak = time.monotonic_ns(), 0
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **compiled},
    ) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_resident_bytes, _process_tree(process.pid))))
            time.sleep(_SAMPLE_S)
        assert process.stderr is not None
        stderr = process.stderr.read().decode()
    if process.returncode:
        raise RuntimeError(f"bench run exited with {process.returncode}: {stderr}")
    phases = [json.loads(file.read_bytes()) for file in folder.glob("*/points/*/*/phase.json")]
    first_ns = min(p["started_ns"] for p in phases if p["started_ns"] > start_ns)
    return (first_ns - start_ns) / 1e9, peak


def main() -> int:
    """Print startup time and memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20000)
    options = parser.parse_args()
    with server() as port, tempfile.TemporaryDirectory(prefix="tokenbench-benchmark-") as folder:
        run(port, 50, Path(folder))  # Fills the bytecode cache.
        starts = [run(port, 50, Path(folder))[0] for _ in range(options.repeats)]
        print(f"start to first request: median {statistics.median(starts):.2f} s,", end=" ")
        print(f"minimum {min(starts):.2f} s, of {options.repeats} runs")
        peaks = [run(port, count, Path(folder))[1] for count in (options.few, options.many)]
    for count, peak in zip((options.few, options.many), peaks, strict=True):
        print(f"memory of all processes, {count} requests: {peak / MIB:.0f} MiB")
    print(f"growth: {100 * (peaks[1] / peaks[0] - 1):+.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
