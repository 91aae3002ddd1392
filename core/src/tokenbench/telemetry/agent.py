"""The agent that samples hardware: ``python -m tokenbench.telemetry.agent``.

Runs on every host of a deployment, imports one hardware plugin and writes a JSON line per reading:
``{"t": monotonic_ns, "w": wall_ns, "s": [sample, ...]}``. It exits when its standard input ends.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import select
import sys
import time
from typing import Any

import attrs
import msgspec

from tokenbench.api import HardwareSpec
from tokenbench.suite.options import build_options


def main() -> None:
    """Sample until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--options", default="{}", help="the plugin's options as JSON")
    parser.add_argument("--devices", default="")
    parser.add_argument("--interval-s", type=float, default=0.25)
    args = parser.parse_args()
    channel = os.dup(1)
    os.dup2(2, 1)  # What the plugin prints goes to the log.
    hardware = _hardware(args.module, args.name, json.loads(args.options))
    devices = [int(part) for part in args.devices.split(",") if part]
    sampler = hardware.sampler(devices)
    if sampler is None:
        return
    try:
        _sample(sampler, args.interval_s, channel)
    finally:
        sampler.close()


def _hardware(module: str, name: str, options: dict[str, Any]) -> Any:
    for spec in importlib.import_module(module).bench_register_hardware():
        if isinstance(spec, HardwareSpec) and spec.name == name:
            return spec.factory(build_options(spec.options, options, where=f"hardware {name}"))
    sys.exit(f"{module} registers no hardware called {name!r}")


def _sample(sampler: Any, interval_s: float, channel: int) -> None:
    due = time.monotonic()
    while True:
        timestamp, wall = time.monotonic_ns(), time.time_ns()
        samples = [attrs.asdict(sample) for sample in sampler.sample()]
        line = msgspec.json.encode({"t": timestamp, "w": wall, "s": samples}) + b"\n"
        while line:
            line = line[os.write(channel, line) :]
        # After a late reading, continue at the interval instead of catching up.
        due = max(due + interval_s, time.monotonic())
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0] and not os.read(0, 4096):
            return


if __name__ == "__main__":
    main()
