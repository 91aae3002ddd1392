"""The saved calibration of this machine, and the facts from it that later runs record.

:mod:`tokenbench.calibrate` writes it; this module only reads.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import tokenbench
from tokenbench.launch.node.agent import cpu_model
from tokenbench.load import native
from tokenbench.load.cores import CONCURRENCY_PER_WORKER
from tokenbench.paths import state_folder

VERSION = 2
_ERRORS = ("ttft", "tpot", "e2e")
_STATISTICS = ("mean", "p50", "p99")


def calibration_file() -> Path:
    """Path in the user's state folder (XDG Base Directory Specification 0.8)."""
    return state_folder() / "calibration.json"


def machine_facts() -> dict[str, str]:
    """What a calibration depends on; it is valid only while all of these are unchanged."""
    return {
        "cpu": cpu_model(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "bench": tokenbench.__version__,
        "request path": native.path(),
    }


def saved() -> dict[str, Any] | None:
    """The saved calibration; None if it is missing, unreadable or of another machine."""
    try:
        calibration = json.loads(calibration_file().read_bytes())
    except (OSError, ValueError, RuntimeError):
        # RuntimeError: the user has no home folder.
        return None
    if not isinstance(calibration, dict) or calibration.get("version") != VERSION:
        return None
    return calibration if calibration.get("machine") == machine_facts() else None


def concurrency_per_worker() -> int:
    """Requests in flight that one load worker can drive on this machine.

    From the saved calibration, if the client's own checks ended it; else at least the rule of
    thumb, :data:`tokenbench.load.cores.CONCURRENCY_PER_WORKER`.
    """
    calibration = saved()
    try:
        envelope = calibration["envelope"] if calibration is not None else {}
        per_worker = int(envelope["concurrency"]) // int(envelope["load_workers"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return CONCURRENCY_PER_WORKER
    if envelope.get("ended_by") == "client":
        return max(1, per_worker)
    return max(CONCURRENCY_PER_WORKER, per_worker)


def facts() -> dict[str, str]:
    """The saved calibration as flat facts for the provenance of a run; empty without one.

    ``calibration.date``, ``calibration.server``, ``calibration.step_s``,
    ``calibration.envelope_concurrency``, ``calibration.ended_by`` and, for each concurrency, error
    and statistic, keys such as ``calibration.ttft_error_mean_s.256`` (seconds).
    """
    calibration = saved()
    if calibration is None:
        return {}
    try:
        flat = {
            "calibration.date": str(calibration["date"]),
            "calibration.server": str(calibration.get("server", "portable")),
            "calibration.step_s": str(calibration["step_s"]),
            "calibration.envelope_concurrency": str(calibration["envelope"]["concurrency"]),
            "calibration.ended_by": str(calibration["envelope"]["ended_by"]),
        }
        for step in calibration["steps"]:
            for name in _ERRORS:
                spread = step["errors"][name]
                for statistic in _STATISTICS if spread is not None else ():
                    key = f"calibration.{name}_error_{statistic}_s.{step['concurrency']}"
                    flat[key] = f"{spread[statistic]:.9f}"
    except (KeyError, TypeError, ValueError):
        # An edited file: no facts rather than some of them.
        return {}
    return flat
