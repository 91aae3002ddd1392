"""Energy of a window from power samples, checked against the device's own counter."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from .arrays import NS_PER_S, Floats, Ints


@attrs.frozen(kw_only=True)
class Series:
    """Samples of one device: times, power (W) and counter (J); NaN where a sample has none."""

    host: str
    role: str
    device: int
    ns: Ints
    power_w: Floats
    energy_j: Floats
    throttled: tuple[tuple[str, ...], ...] = ()


@attrs.frozen(kw_only=True)
class Energy:
    """Energy of a window. `counter_ratio` is counter over integral where there are both."""

    energy_j: float | None
    power_w: float | None
    counter_ratio: float | None
    longest_gap_s: float | None


def integrate(series: Sequence[Series], start_ns: int, end_ns: int) -> Energy:
    """Energy of all devices together over a window; None where any device cannot tell."""
    seconds = (end_ns - start_ns) / NS_PER_S
    sums: list[float | None] = []
    counters: list[float | None] = []
    gaps: list[float] = []
    for one in series:
        by_power = _trapezoid(one.ns, one.power_w, start_ns, end_ns)
        by_counter = _difference(one.ns, one.energy_j, start_ns, end_ns)
        sums.append(by_power if by_power is not None else by_counter)
        counters.append(by_counter if by_power is not None else None)
        inside = one.ns[(one.ns >= start_ns) & (one.ns <= end_ns)]
        stamps = np.concatenate([[start_ns], inside, [end_ns]])
        gaps.append(float(np.diff(stamps).max()) / NS_PER_S)
    total = _total(sums)
    counted = _total(counters)
    return Energy(
        energy_j=total,
        power_w=total / seconds if total is not None and seconds > 0 else None,
        counter_ratio=counted / total if counted is not None and total else None,
        longest_gap_s=max(gaps) if gaps else None,
    )


def _total(parts: list[float | None]) -> float | None:
    return sum(p for p in parts if p is not None) if parts and None not in parts else None


def _trapezoid(ns: Ints, power_w: Floats, start_ns: int, end_ns: int) -> float | None:
    """Integral over the window, linear between samples and at the edges.

    A window edge that no sample covers takes the nearest sample's power.
    """
    known = ~np.isnan(power_w)
    if np.count_nonzero(known) < 2 or end_ns <= start_ns:
        return None
    stamps, power = ns[known].astype(np.float64), power_w[known]
    inside = (stamps > start_ns) & (stamps < end_ns)
    at = np.concatenate([[start_ns], stamps[inside], [end_ns]])
    values = np.interp(at, stamps, power)
    return float(np.trapezoid(values, at) / NS_PER_S)


def _difference(ns: Ints, energy_j: Floats, start_ns: int, end_ns: int) -> float | None:
    known = ~np.isnan(energy_j)
    if np.count_nonzero(known) < 2:
        return None
    stamps, energy = ns[known].astype(np.float64), energy_j[known]
    low, high = np.interp([start_ns, end_ns], stamps, energy)
    return float(high - low)
