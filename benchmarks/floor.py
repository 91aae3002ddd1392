"""The floor: the C client."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from reference import Load, Place, Reference, serving
from sample import Sample, compared
from truth import read_floor


def run(
    binary: Path, reference: Reference, load: Load, place: Place, folder: Path, seconds: float = 0
) -> Sample:
    """One run of c/client.c; `seconds` ends it where `load.requests` is 0."""
    rows = folder / "floor.bin"
    with serving(reference, load, folder / "truth.bin") as (port, truth):
        options = [port, load.streams, load.tokens, load.words, load.requests, seconds, rows]
        begun_ns = time.monotonic_ns()
        done = subprocess.run(
            [str(binary), *map(str, options)],
            capture_output=True,
            text=True,
            preexec_fn=place.take,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the C client failed: {done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    stamps = read_floor(rows)
    rows.unlink()
    return Sample(
        client="c",
        streams=load.streams,
        requests=said["requests"] - said["failed"],
        failed=said["failed"],
        cpu_s=said["cpu_s"],
        wall_s=said["wall_s"],
        rss_bytes=said["max_rss_bytes"],
        start_s=(said["started_ns"] - begun_ns) / 1e9,
        more={k: v for k, v in said.items() if k.endswith("_ms")},
        **compared(truth[0], stamps),  # type: ignore[arg-type]
    )
