"""The host's CPU, from /proc and /sys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, Probe, Sampler, Sku

from . import procfs, rapl, sensors


class HostCpu(Hardware):
    """One device, number 0: all CPUs of this host.

    Args:
        proc: path of /proc.
        sys: path of /sys (both can be recorded trees in tests).
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._sys = sys

    def catalogue(self) -> Sequence[Sku]:
        """One generic entry: the figures of a CPU are not known in advance."""
        return [
            Sku(
                name="cpu", vendor="any", source="tokenbench: the probe names it", date="2026-11-21"
            )
        ]

    def probe(self) -> Probe:
        """The CPU's model, usable cores and memory, and why values cannot be measured here."""
        if reason := _unusable(self._proc):
            return Probe(reason=reason, hint="hardware cpu needs Linux with /proc")
        cores = len(os.sched_getaffinity(0))
        model = procfs.model(self._proc)
        facts = {
            "cores": str(cores),
            "governor": sensors.governor(self._sys),
            "kernel": procfs.kernel(self._proc),
        }
        return Probe(
            devices=(
                DeviceInfo(
                    index=0,
                    name=model,
                    sku=f"{model} ({cores} cores)",
                    memory_bytes=procfs.memory_bytes(self._proc)[0],
                ),
            ),
            notes=FrozenMap(self._notes()),
            facts=FrozenMap({name: text for name, text in facts.items() if text is not None}),
        )

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        """Samples utilization and memory; energy, temperature and clock if they can be read."""
        from .sampler import HostSampler

        return None if _unusable(self._proc) else HostSampler(self._proc, self._sys)

    def _notes(self) -> dict[str, str]:
        notes = {}
        _, reason = rapl.packages(self._sys)
        if reason is not None:
            notes["power_w"] = notes["energy_j"] = reason
        if not sensors.thermometers(self._sys):
            notes["temperature_c"] = sensors.NO_THERMOMETER
        if not sensors.clocks(self._sys):
            notes["clock_hz"] = sensors.NO_CLOCK
        return notes


def _unusable(proc: Path) -> str | None:
    """Why this host cannot be read at all; None if it can."""
    try:
        procfs.ticks(proc)
    except (OSError, ValueError, IndexError) as error:
        return f"could not read {proc / 'stat'}: {error}"
    return None
