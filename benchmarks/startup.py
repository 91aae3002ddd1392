"""Startup time of the command line with thirty third-party plugins installed.

``python benchmarks/startup.py``: medians, and ratios to ``python -c pass``. Five of the plugins are
broken, each in a different way.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
BROKEN = {
    "absent": "import nothing_like_that",
    "misspelt": "from tokenbench.api import hookimpl\n@hookimpl\ndef bench_registr(): pass\n",
    "wrong": "from tokenbench.api import hookimpl\n@hookimpl\ndef bench_register_workloads():\n"
    "    return ['w']\n",
    "future": "",
    "twin": "",
}
BENCH = (sys.executable, "-m", "tokenbench.cli.main")
COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "import tokenbench": (sys.executable, "-c", "import tokenbench"),
    "bench --help": (*BENCH, "--help"),
    "bench plugins list": (*BENCH, "plugins", "list"),
}


def main() -> None:
    """Run the commands in rotation, so that other load on the machine affects all alike."""
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        environment = {**os.environ, "PYTHONPATH": folder}
        times: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(ROUNDS):
            for name, command in COMMANDS.items():
                start = time.perf_counter()
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - start)
    floor = statistics.median(times["python -c pass"])
    print(f"{'command':20} {'median s':>9} {'min s':>9} {'x floor':>9}")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"{name:20} {middle:9.3f} {min(seconds):9.3f} {middle / floor:9.1f}")


def install(site: Path) -> None:
    """Install thirty distributions with one workload each; two workloads have the same name."""
    names = [f"third-{number}" for number in range(25)] + list(BROKEN)
    for name in names:
        module = name.replace("-", "_")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        offered = "third-0" if name == "twin" else name
        api = "9.0" if name == "future" else "0.2"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[tokenbench.api]\n{api} = tokenbench.api\n"
            f"[tokenbench.workloads]\n{offered} = {module}\n"
        )
        (site / f"{module}.py").write_text(BROKEN.get(name, ""))


if __name__ == "__main__":
    main()
