"""Telemetry as the time series that `measure.energy` integrates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tokenbench.measure.energy import Energy, Series, integrate, slowest_of_peers
from tokenbench.measure.metrics import Metrics
from tokenbench.telemetry.collect import Reading

_SLOWDOWNS = ("hw", "thermal", "hardware")


def series_of(readings: Sequence[Reading]) -> list[Series]:
    """One series per device, ordered by time."""
    groups: dict[tuple[str, str, int], list[Reading]] = {}
    for reading in readings:
        key = (reading.host, reading.role, reading.sample.device)
        groups.setdefault(key, []).append(reading)
    return [
        Series(
            host=host,
            role=role,
            device=device,
            ns=np.array([r.monotonic_ns for r in group], dtype=np.int64),
            power_w=np.array([_number(r.sample.power_w) for r in group]),
            energy_j=np.array([_number(r.sample.energy_j) for r in group]),
            throttled=tuple(r.sample.throttle for r in group),
        )
        for (host, role, device), group in groups.items()
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def energy_metrics(energy: Energy, metrics: Metrics, domain: str) -> Metrics:
    """Energy and power metrics of a domain (``accelerator`` or ``host``), in J and W."""
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


def clock_of_peers(readings: Sequence[Reading]) -> float | None:
    """The slowest device's median clock over the median of all; None below two devices."""
    clocks: dict[tuple[str, int], list[float]] = {}
    for reading in readings:
        if reading.sample.clock_hz is not None:
            key = (reading.host, reading.sample.device)
            clocks.setdefault(key, []).append(reading.sample.clock_hz)
    return slowest_of_peers([float(np.median(values)) for values in clocks.values()])


def energy_of(series: Sequence[Series], start_ns: int, end_ns: int) -> Energy:
    """Energy of a window."""
    return integrate(series, start_ns, end_ns)


def throttled_share(series: Sequence[Series], start_ns: int, end_ns: int) -> float | None:
    """Share of samples with a hardware or thermal slowdown; None without samples."""
    seen = slowed = 0
    for one in series:
        for timestamp, reasons in zip(one.ns, one.throttled, strict=True):
            if reasons is not None and start_ns <= timestamp <= end_ns:
                seen += 1
                slowed += any(word in reason for reason in reasons for word in _SLOWDOWNS)
    return slowed / seen if seen else None
