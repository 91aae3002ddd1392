"""The floors: minimal clients in C and in Python, as lower bounds of the CPU cost."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from accuracy import read_floor
from reference import Load, Placement, Reference, serving
from sample import Sample, compare


@attrs.frozen(kw_only=True)
class Floor:
    """A program with the arguments and the output file of c/client.c."""

    name: str
    command: tuple[str, ...]


def floors(binary: Path) -> tuple[Floor, ...]:
    """The C client, and the Python client if uvloop is installed."""
    found = [Floor(name="c", command=(str(binary),))]
    if importlib.util.find_spec("uvloop"):
        bare = Path(__file__).with_name("bare.py")
        found.append(Floor(name="bare", command=(sys.executable, str(bare))))
    return tuple(found)


def run(
    floor: Floor,
    reference: Reference,
    load: Load,
    placement: Placement,
    folder: Path,
    seconds: float = 0,
) -> Sample:
    """Run a floor once; it runs for `seconds` if `load.requests` is 0."""
    rows = folder / "floor.bin"
    with serving(reference, load, folder / "truth.bin") as (port, truth):
        options = [port, load.concurrency, load.tokens, load.words, load.requests, seconds, rows]
        begun_ns = time.monotonic_ns()
        done = subprocess.run(
            [*floor.command, *map(str, options)],
            capture_output=True,
            text=True,
            preexec_fn=placement.apply,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the floor {floor.name} failed: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    timestamps = read_floor(rows)
    rows.unlink()
    return Sample(
        client=floor.name,
        concurrency=load.concurrency,
        requests=result["requests"] - result["failed"],
        failed=result["failed"],
        cpu_s=result["cpu_s"],
        wall_s=result["wall_s"],
        rss_bytes=result["max_rss_bytes"],
        start_s=(result["started_ns"] - begun_ns) / 1e9,
        more={k: v for k, v in result.items() if k.endswith("_ms")},
        **compare(truth[0], timestamps),  # type: ignore[arg-type]
    )
