"""The host's CPU packages, from /proc and /sys.

The program of a node: standard library, Python 3.8. Options: `proc` and `sys`, the paths of /proc
and /sys (recorded trees in tests).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import clocks, meters, procfs, rapl, sensors, throttle, topology
from .sampler import HostSampler

__all__ = ["probe", "sampler"]


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """One device, number 0: all CPUs of this host; and why values cannot be measured here."""
    proc, sys = _roots(options)
    reason = _unusable(proc)
    if reason:
        return {"devices": [], "reason": reason, "hint": "hardware cpu needs Linux with /proc"}
    return {
        "devices": [_device(proc, sys)],
        "notes": _notes(sys),
        "facts": _facts(proc, sys),
    }


def sampler(options: dict[str, Any], devices: list[Any]) -> HostSampler | None:
    """Samples utilization and memory; energy, temperature and clock if they can be read."""
    proc, sys = _roots(options)
    return None if _unusable(proc) else HostSampler(proc, sys)


def _roots(options: dict[str, Any]) -> tuple[Path, Path]:
    return Path(options.get("proc") or "/proc"), Path(options.get("sys") or "/sys")


def _unusable(proc: Path) -> str | None:
    """Why this host cannot be read at all; None if it can."""
    try:
        procfs.ticks(proc)
    except (OSError, ValueError, IndexError) as error:
        return f"could not read {proc / 'stat'}: {error}"
    return None


def _device(proc: Path, sys: Path) -> dict[str, Any]:
    model = procfs.model(proc)
    total, used = procfs.memory_bytes(proc)
    device = {
        "index": 0,
        "name": model,
        "sku": f"{model} ({_usable_cores()} cores)",
        "memory_bytes": total,
        "memory_used_bytes": used,
        "max_clock_hz": clocks.max_clock_hz(sys),
        "clocks_locked": clocks.locked(sys),
    }
    device.update(rapl.limits(sys))
    return {name: value for name, value in device.items() if value is not None}


def _facts(proc: Path, sys: Path) -> dict[str, str]:
    facts = {
        "cores": str(_usable_cores()),
        "governor": clocks.governor(sys),
        "kernel": procfs.kernel(proc),
        **topology.facts(sys),
        **clocks.facts(sys),
        **rapl.facts(sys),
    }
    return {name: text for name, text in facts.items() if text is not None}


def _notes(sys: Path) -> dict[str, str]:
    notes = {}
    _, reason = rapl.packages(sys)
    if reason is not None:
        if meters.sockets(sys):
            notes["energy_j"] = meters.NO_COUNTER
        else:
            notes["power_w"] = notes["energy_j"] = reason
    if not sensors.thermometers(sys):
        notes["temperature_c"] = sensors.NO_THERMOMETER
    if not clocks.clocks(sys):
        notes["clock_hz"] = clocks.NO_CLOCK
    if not throttle.counters(sys):
        notes["throttle"] = throttle.NO_COUNTER
    return notes


def _usable_cores() -> int:
    """CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
