"""A calibration as plain data, and the file it is saved in."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import attrs

from tokenbench.load.cores import Cores
from tokenbench.store.calibration import VERSION, calibration_file, machine_facts
from tokenbench.store.files import guarded, write_atomic

from .search import Envelope
from .step import Step, Traffic


def plain(
    envelope: Envelope,
    traffic: Traffic,
    cores: Cores,
    busy_share: float,
    server: Path | None = None,
) -> dict[str, Any]:
    """The data that ``--json`` prints and :func:`save` saves. Times in seconds.

    Args:
        busy_share: share of the cores' time that other programs used before the start, 0 to 1.
        server: the reference server; None for the portable one.
    """
    return {
        "version": VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine_facts(),
        "server": server.name if server is not None else "portable",
        "server_core": cores.engine[0],
        "worker_cores": list(cores.workers),
        "shared_core": cores.shared,
        "busy_share_before": round(busy_share, 3),
        "step_s": traffic.seconds,
        "traffic": attrs.asdict(traffic),
        "envelope": {
            "concurrency": envelope.concurrency,
            "load_workers": envelope.load_workers,
            "ended_by": envelope.ended_by,
            "reason": envelope.reason,
            "path": [
                {"concurrency": step.concurrency, "ended_by": step.ended_by}
                for step in envelope.path
            ],
        },
        "steps": [plain_step(step) for step in envelope.steps],
    }


def save(data: dict[str, Any]) -> Path:
    """Save a calibration for the provenance of later runs; it replaces the previous one.

    Raises:
        MachineError: the file cannot be written.
    """
    file = calibration_file()
    with guarded(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(data, indent=1).encode())
    return file


def plain_step(step: Step) -> dict[str, Any]:
    """One level as an item of `steps` in :func:`plain`."""
    return {
        "concurrency": step.concurrency,
        "load_workers": step.load_workers,
        "seconds": round(step.seconds, 3),
        "tokens_per_s": round(step.tokens_per_s, 1),
        "client_cpu_share": round(step.cpu_share, 4),
        "stolen_share": step.stolen_share,
        "failed": step.failed,
        "errors": attrs.asdict(step.errors),
        "checks": [
            {"name": c.name, "outcome": str(c.outcome), "evidence": c.evidence} for c in step.checks
        ],
        "ended_by": step.ended_by,
        "limits": [*([step.server_limit] if step.server_limit else []), *step.client_limits],
    }
