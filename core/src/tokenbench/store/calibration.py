"""The saved calibration of this machine: where it lies, and what of it later runs carry.

Reading only; :mod:`tokenbench.calibrate` writes it.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import tokenbench
from tokenbench.load import native

VERSION = 1
_ERRORS = ("ttft", "tpot", "e2e")
_STATISTICS = ("mean", "p50", "p99")


def calibration_file() -> Path:
    """In the user's state folder (XDG Base Directory Specification 0.8)."""
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder) / "tokenbench" / "calibration.json"


def machine_facts() -> dict[str, str]:
    """What a calibration holds for: another CPU, Python, bench or request path needs another."""
    return {
        "cpu": cpu_model(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "bench": tokenbench.__version__,
        "request path": native.path(),
    }


def saved() -> dict[str, Any] | None:
    """The saved calibration; None where there is none, none of this machine, or none readable."""
    try:
        found = json.loads(calibration_file().read_bytes())
    except (OSError, ValueError, RuntimeError):
        # RuntimeError: there is no home folder.
        return None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return None
    return found if found.get("machine") == machine_facts() else None


def facts() -> dict[str, str]:
    """The saved calibration as flat facts for the provenance of a run; empty where there is none.

    ``calibration.date``, ``calibration.server``, ``calibration.envelope_streams``,
    ``calibration.ended_by`` and, for each measured concurrency,
    ``calibration.ttft_error_mean_s.256`` and its like (seconds).
    """
    found = saved()
    if found is None:
        return {}
    try:
        flat = {
            "calibration.date": str(found["date"]),
            "calibration.server": str(found.get("server", "portable")),
            "calibration.step_s": str(found["step_s"]),
            "calibration.envelope_streams": str(found["envelope"]["streams"]),
            "calibration.ended_by": str(found["envelope"]["ended_by"]),
        }
        for step in found["steps"]:
            for name in _ERRORS:
                spread = step["errors"][name]
                for statistic in _STATISTICS if spread is not None else ():
                    key = f"calibration.{name}_error_{statistic}_s.{step['concurrency']}"
                    flat[key] = f"{spread[statistic]:.9f}"
    except (KeyError, TypeError, ValueError):
        # Someone edited it: no fact is better than half of them.
        return {}
    return flat


def cpu_model() -> str:
    """The CPU's name as the kernel tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
