"""Energy of a window from power samples, compared with the devices' energy counters."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from .arrays import NS_PER_S, Floats, Ints

LONGEST_GAP_S = 3.0
"""How far an edge of the window may be outside the samples: longer telemetry gaps are flagged."""


@attrs.frozen(kw_only=True, eq=False)
class Series:
    """Samples of one device: time (ns), power (W) and energy counter (J); NaN if not reported."""

    host: str
    role: str
    device: int
    ns: Ints
    power_w: Floats
    energy_j: Floats


@attrs.frozen(kw_only=True)
class Energy:
    """Energy of a window. `counter_ratio`: counter / integral, if all devices report both."""

    energy_j: float | None
    power_w: float | None
    counter_ratio: float | None


def integrate(series: Sequence[Series], start_ns: int, end_ns: int) -> Energy:
    """Sum over all devices; `energy_j` is None if it is unknown for any device."""
    seconds = (end_ns - start_ns) / NS_PER_S
    energies: list[float | None] = []
    counters: list[float | None] = []
    for device in series:
        by_power = _trapezoid(device.ns, device.power_w, start_ns, end_ns)
        by_counter = _difference(device.ns, device.energy_j, start_ns, end_ns)
        energies.append(by_power if by_power is not None else by_counter)
        counters.append(by_counter if by_power is not None else None)
    total = _total(energies)
    counted = _total(counters)
    return Energy(
        energy_j=total,
        power_w=total / seconds if total is not None and seconds > 0 else None,
        counter_ratio=counted / total if counted is not None and total else None,
    )


def _total(parts: list[float | None]) -> float | None:
    return sum(p for p in parts if p is not None) if parts and None not in parts else None


def _known(ns: Ints, values: Floats, start_ns: int, end_ns: int) -> tuple[Floats, Floats] | None:
    """Seconds from the window's start and values, sorted by time; None if they do not cover the
    window: fewer than two values, an empty window, or an edge too far outside.
    """
    known = ~np.isnan(values)
    if np.count_nonzero(known) < 2 or end_ns <= start_ns:
        return None
    # Relative times, because monotonic nanoseconds lose precision as floats.
    seconds, values = (ns[known] - start_ns) / NS_PER_S, values[known]
    order = np.argsort(seconds, kind="stable")
    seconds, values = seconds[order], values[order]
    outside = max(seconds[0], (end_ns - start_ns) / NS_PER_S - seconds[-1])
    return None if outside > LONGEST_GAP_S else (seconds, values)


def _trapezoid(ns: Ints, power_w: Floats, start_ns: int, end_ns: int) -> float | None:
    """Integral over the window, linear between samples and at the edges.

    An edge outside the samples takes the nearest sample's power.
    """
    known = _known(ns, power_w, start_ns, end_ns)
    if known is None:
        return None
    seconds, power = known
    length = (end_ns - start_ns) / NS_PER_S
    inside = seconds[(seconds > 0.0) & (seconds < length)]
    at = np.concatenate([[0.0], inside, [length]])
    return float(np.trapezoid(np.interp(at, seconds, power), at))


def _difference(ns: Ints, energy_j: Floats, start_ns: int, end_ns: int) -> float | None:
    """Increase of the counter, linear at the edges; None if the counter decreased.

    A part of the window outside the samples counts with the mean power of the rest.
    """
    known = _known(ns, energy_j, start_ns, end_ns)
    if known is None or bool((np.diff(known[1]) < 0).any()):
        return None
    seconds, energy = known
    length = (end_ns - start_ns) / NS_PER_S
    low, high = max(0.0, seconds[0]), min(length, seconds[-1])
    if high <= low:
        return None
    first, last = np.interp([low, high], seconds, energy)
    return float((last - first) * length / (high - low))
