"""The host's CPU: what it is and what it does, from /proc and /sys."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, Probe, Sample, Sampler, Sku

from .rapl import packages


class HostCpu(Hardware):
    """One device, number 0: all the CPUs of this host.

    Args:
        proc: where /proc is; sys: where /sys is (for tests with recorded trees).
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._sys = sys

    def catalogue(self) -> Sequence[Sku]:
        """A generic entry: figures of a CPU model are not known beforehand."""
        return [
            Sku(
                name="cpu", vendor="any", source="tokenbench: the probe names it", date="2026-11-21"
            )
        ]

    def probe(self) -> Probe:
        """The CPU's model, cores and memory, and whether energy can be read."""
        _, reason = packages(self._sys)
        notes = {} if reason is None else {"power_w": reason, "energy_j": reason}
        cores = len(os.sched_getaffinity(0))
        model = _field(self._proc / "cpuinfo", "model name") or platform.processor() or "unknown"
        return Probe(
            devices=(
                DeviceInfo(
                    index=0,
                    name=model,
                    sku=f"{model} ({cores} cores)",
                    memory_bytes=_memory(self._proc, "MemTotal"),
                ),
            ),
            notes=FrozenMap(notes),
            facts=FrozenMap({"cores": str(cores), "kernel": platform.release()}),
        )

    def sampler(self, devices: Sequence[int]) -> Sampler:
        """Utilisation and memory always, energy where it can be read."""
        return HostSampler(self._proc, self._sys)


class HostSampler(Sampler):
    """Differences between readings; the first reading only starts them."""

    def __init__(self, proc: Path, sys: Path) -> None:
        self._proc = proc
        self._packages, _ = packages(sys)
        self._busy, self._total = _times(proc)
        self._energy: float | None = None
        self._at = time.monotonic()

    def sample(self) -> Sequence[Sample]:
        """One reading of the host."""
        busy, total = _times(self._proc)
        ticks = total - self._total
        used = (busy - self._busy) / ticks if ticks > 0 else None
        self._busy, self._total = busy, total
        energy, power = self._read_energy()
        everything = _memory(self._proc, "MemTotal")
        free = _memory(self._proc, "MemAvailable")
        memory = everything - free if everything is not None and free is not None else None
        return [
            Sample(
                device=0,
                utilization=used,
                memory_used_bytes=memory,
                energy_j=energy,
                power_w=power,
            )
        ]

    def _read_energy(self) -> tuple[float | None, float | None]:
        if not self._packages:
            return None, None
        now = time.monotonic()
        energy = sum(package.energy_j() for package in self._packages)
        before, seconds = self._energy, now - self._at
        self._energy, self._at = energy, now
        power = (energy - before) / seconds if before is not None and seconds > 0 else None
        return energy, power


def _times(proc: Path) -> tuple[int, int]:
    """Busy and total ticks of all cores since boot (proc(5), /proc/stat)."""
    fields = [int(f) for f in (proc / "stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _memory(proc: Path, name: str) -> int | None:
    text = _field(proc / "meminfo", name)
    return int(text.split()[0]) * 1024 if text else None


def _field(file: Path, name: str) -> str | None:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return None
