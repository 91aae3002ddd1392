"""Computes energy metrics and findings about the devices from telemetry."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import attrs
import numpy as np

from tokenbench.api import Sample
from tokenbench.api.specs import DOMAINS
from tokenbench.measure.definitions import ROLE_ENERGY
from tokenbench.measure.devices import (
    Devices,
    DeviceSamples,
    accelerator_findings,
    longest_gap_s,
)
from tokenbench.measure.energy import Energy, Series, integrate
from tokenbench.measure.percentiles import Metrics
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.telemetry.collect import Reading, source_name


@attrs.frozen(kw_only=True)
class Window:
    """The readings around a time span, by host, plugin and device."""

    start_ns: int
    end_ns: int
    groups: Mapping[tuple[str, str, int], Sequence[Reading]]

    @classmethod
    def of(cls, readings: Sequence[Reading], start_ns: int, end_ns: int) -> Window:
        """Group readings by host, plugin and device."""
        groups: dict[tuple[str, str, int], list[Reading]] = {}
        for reading in readings:
            key = (reading.host, reading.hardware, reading.sample.device)
            groups.setdefault(key, []).append(reading)
        return cls(start_ns=start_ns, end_ns=end_ns, groups=groups)

    def energy(self, domain: str, role: str | None = None) -> Energy:
        """The energy of a domain, or of its devices of one role."""
        found = [
            _series(group)
            for group in self.groups.values()
            if group[0].domain == domain and role in (None, group[0].role)
        ]
        return integrate(found, self.start_ns, self.end_ns)

    def findings(self, sources: Collection[str], limits: CertificationThresholds) -> Devices:
        """Findings about the devices. `sources`: samplers that should have sent samples."""
        devices = [
            DeviceSamples(
                label=label_of(group[0]),
                samples=self._inside(group),
                # Prefill and decode load their devices differently.
                peers=(group[0].hardware, group[0].role or ""),
            )
            for group in self.groups.values()
            if group[0].domain == "accelerator"
        ]
        times: dict[str, list[list[int]]] = {source: [] for source in sources}
        for (host, plugin, _), group in self.groups.items():
            source = times.setdefault(source_name(plugin, host), [])
            source.append([reading.monotonic_ns for reading in group])
        return attrs.evolve(
            accelerator_findings(
                devices,
                idle_below=limits.idle_utilization,
                working_above=limits.working_utilization,
            ),
            gaps_s={
                source: max(longest_gap_s(ns, self.start_ns, self.end_ns) for ns in found or [[]])
                for source, found in times.items()
            },
        )

    def pids(self, hosts: Collection[str]) -> set[int]:
        """Processes that used an accelerator of these hosts."""
        return {
            pid
            for (host, _, _), group in self.groups.items()
            if host in hosts and group[0].domain == "accelerator"
            for sample in self._inside(group)
            for pid in sample.pids or ()
        }

    def _inside(self, group: Sequence[Reading]) -> tuple[Sample, ...]:
        return tuple(r.sample for r in group if self.start_ns <= r.monotonic_ns <= self.end_ns)


def label_of(reading: Reading) -> str:
    """The name of a device in texts: ``nvidia 3 on node1``."""
    return source_name(f"{reading.hardware} {reading.sample.device}", reading.host)


def power_metrics(window: Window, metrics: Metrics, devices: Devices) -> Metrics:
    """Energy and power by domain and by role, and the accelerators' clock and power-limit share."""
    found: Metrics = {
        "power_cap_share.accelerator": devices.power_cap_share,
        "clock_hz.accelerator": devices.clock_hz,
    }
    for domain in DOMAINS:
        if any(group[0].domain == domain for group in window.groups.values()):
            found |= _energy_metrics(window.energy(domain), metrics, domain)
    for name, role in ROLE_ENERGY:
        energy = window.energy("accelerator", role).energy_j
        tokens = metrics["input_tokens" if role == "prefill" else "output_tokens"]
        found[f"{name}.{role}"] = energy / tokens if energy is not None and tokens else None
    return found


def idle_power(window: Window) -> Metrics:
    """The mean power of each domain in a window without load, in W."""
    return {f"idle_power_w.{domain}": window.energy(domain).power_w for domain in DOMAINS}


def _energy_metrics(energy: Energy, metrics: Metrics, domain: str) -> Metrics:
    joules = energy.energy_j
    total = None
    if metrics["input_tokens"] is not None and metrics["output_tokens"] is not None:
        total = metrics["input_tokens"] + metrics["output_tokens"]

    def per(count: float | None) -> float | None:
        return joules / count if joules is not None and count else None

    return {
        f"energy_j.{domain}": joules,
        f"power_w.{domain}": energy.power_w,
        f"energy_j_per_output_token.{domain}": per(metrics["output_tokens"]),
        f"energy_j_per_input_token.{domain}": per(metrics["input_tokens"]),
        f"energy_j_per_total_token.{domain}": per(total),
        f"energy_j_per_request.{domain}": per(metrics["requests_ok"]),
        f"energy_counter_ratio.{domain}": energy.counter_ratio,
    }


def _series(group: Sequence[Reading]) -> Series:
    first = group[0]
    return Series(
        host=first.host,
        role=first.role,
        device=first.sample.device,
        ns=np.array([r.monotonic_ns for r in group], dtype=np.int64),
        power_w=np.array([_number(r.sample.power_w) for r in group]),
        energy_j=np.array([_number(r.sample.energy_j) for r in group]),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
