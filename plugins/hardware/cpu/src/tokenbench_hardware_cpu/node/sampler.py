"""Samples the host."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from . import clocks, meters, procfs, rapl, sensors, throttle

# RAPL counters are updated about once per millisecond: power over less than 10 ms is noise.
SHORTEST_POWER_S = 0.01


class HostSampler:
    """Utilization and RAPL's power are differences of two readings, so the first reading has no
    power.
    """

    def __init__(self, proc: Path, sys: Path) -> None:
        self._proc = proc
        self._packages, _ = rapl.packages(sys)
        self._meters = [] if self._packages else meters.sockets(sys)
        self._thermometers = sensors.thermometers(sys)
        self._clocks = clocks.clocks(sys)
        self._throttle = throttle.Throttle(sys)
        self._ticks = procfs.ticks(proc)
        self._energy: tuple[float, float] | None = None

    def sample(self) -> list[dict[str, Any]]:
        """One reading of the host."""
        energy, power = self._read_energy()
        sample = {
            "device": 0,
            "power_w": power,
            "energy_j": energy,
            "utilization": self._read_utilization(),
            "memory_used_bytes": procfs.memory_bytes(self._proc)[1],
            "temperature_c": sensors.temperature_c(self._thermometers),
            "clock_hz": clocks.clock_hz(self._clocks),
            "throttle": self._throttle.reasons() if self._throttle else None,
        }
        return [{name: value for name, value in sample.items() if value is not None}]

    def close(self) -> None:
        """No file stays open."""

    def _read_utilization(self) -> float | None:
        """Fraction of all cores in use since the last reading; None within one clock tick."""
        try:
            busy, now = procfs.ticks(self._proc)
        except (OSError, ValueError, IndexError):
            return None
        busy_before, before = self._ticks
        if now <= before:
            return None
        self._ticks = busy, now
        # iowait may decrease (proc(5)).
        return min(1.0, max(0.0, (busy - busy_before) / (now - before)))

    def _read_energy(self) -> tuple[float | None, float | None]:
        """Joules since the start, and watts since the last reading."""
        if not self._packages:
            return None, meters.power_w(self._meters)
        now = time.monotonic()
        try:
            energy = sum(package.energy_j() for package in self._packages)
        except (OSError, ValueError):
            # The next successful reading includes the energy of this one.
            return None, None
        if self._energy is None:
            self._energy = now, energy
            return energy, None
        then, before = self._energy
        if now - then < SHORTEST_POWER_S:
            return energy, None
        self._energy = now, energy
        return energy, (energy - before) / (now - then)
