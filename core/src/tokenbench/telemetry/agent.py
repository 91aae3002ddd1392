"""The agent that samples hardware: ``python -m tokenbench.telemetry.agent``.

Runs on every host of a deployment, imports one hardware plugin and writes a JSON line per reading:
``{"t": monotonic_ns, "w": wall_ns, "s": [sample, ...]}``. It exits when its standard input ends. If
the plugin fails, the last line is ``{"error": ..., "hint": ...}``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import time
import traceback
from typing import Any

import attrs
import msgspec

from tokenbench.api import BenchError, Hardware, Sampler
from tokenbench.guard.owner import Owner
from tokenbench.plugins.in_worker import make


def main() -> None:
    """Sample until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--options", default="{}", help="the plugin's options as JSON")
    parser.add_argument("--devices", default="")
    parser.add_argument("--interval-s", type=float, default=0.25)
    parser.add_argument("--owner", default="{}", help="the plugin as errors name it, as JSON")
    args = parser.parse_args()
    # Plugins may print, so their standard output becomes standard error.
    channel = os.dup(1)
    os.dup2(2, 1)
    try:
        _run(args, channel)
    except BenchError as error:
        traceback.print_exception(error)
        _write(channel, {"error": error.message, "hint": error.hint})
        # Not sys.exit: threads of the plugin may still run.
        os._exit(error.exit_code)


def _run(args: argparse.Namespace, channel: int) -> None:
    owner = Owner(**{"kind": "hardware", "name": args.name, **json.loads(args.owner)})
    options = json.loads(args.options)
    hardware = make(owner, args.module, options, Hardware)  # type: ignore[type-abstract]
    devices = [int(part) for part in args.devices.split(",") if part]
    sampler = hardware.sampler(devices)
    if sampler is None:
        return
    try:
        _sample(sampler, args.interval_s, channel)
    finally:
        sampler.close()


def _sample(sampler: Sampler, interval_s: float, channel: int) -> None:
    due = time.monotonic()
    while True:
        timestamp, wall = time.monotonic_ns(), time.time_ns()
        samples = [attrs.asdict(sample) for sample in sampler.sample()]
        _write(channel, {"t": timestamp, "w": wall, "s": samples})
        # After a late reading, continue at the interval instead of catching up.
        due = max(due + interval_s, time.monotonic())
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0] and not os.read(0, 4096):
            return


def _write(channel: int, message: dict[str, Any]) -> None:
    line = msgspec.json.encode(message) + b"\n"
    while line:
        line = line[os.write(channel, line) :]


if __name__ == "__main__":
    main()
