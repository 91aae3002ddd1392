"""The floors: what a client costs in C, and in Python with nothing around it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from reference import Load, Place, Reference, serving
from sample import Sample, compared
from truth import read_floor


@attrs.frozen(kw_only=True)
class Floor:
    """A program with the arguments of c/client.c, that writes the rows which that writes."""

    name: str
    command: tuple[str, ...]


def floors(binary: Path) -> tuple[Floor, ...]:
    """The C client, and the Python one beside this file where uvloop is installed."""
    made = [Floor(name="c", command=(str(binary),))]
    if importlib.util.find_spec("uvloop"):
        bare = Path(__file__).with_name("bare.py")
        made.append(Floor(name="bare", command=(sys.executable, str(bare))))
    return tuple(made)


def run(
    floor: Floor, reference: Reference, load: Load, place: Place, folder: Path, seconds: float = 0
) -> Sample:
    """One run of a floor; `seconds` ends it where `load.requests` is 0."""
    rows = folder / "floor.bin"
    with serving(reference, load, folder / "truth.bin") as (port, truth):
        options = [port, load.streams, load.tokens, load.words, load.requests, seconds, rows]
        begun_ns = time.monotonic_ns()
        done = subprocess.run(
            [*floor.command, *map(str, options)],
            capture_output=True,
            text=True,
            preexec_fn=place.take,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{floor.name}, the floor, failed: {done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    timestamps = read_floor(rows)
    rows.unlink()
    return Sample(
        client=floor.name,
        streams=load.streams,
        requests=said["requests"] - said["failed"],
        failed=said["failed"],
        cpu_s=said["cpu_s"],
        wall_s=said["wall_s"],
        rss_bytes=said["max_rss_bytes"],
        start_s=(said["started_ns"] - begun_ns) / 1e9,
        more={k: v for k, v in said.items() if k.endswith("_ms")},
        **compared(truth[0], timestamps),  # type: ignore[arg-type]
    )
