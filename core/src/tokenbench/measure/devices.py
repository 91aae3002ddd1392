"""Findings about the devices in one repeat, from telemetry. Energy is in `energy`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from tokenbench.api import SLOWDOWNS, Sample

from .arrays import NS_PER_S

POWER_CAP = "power cap"


@attrs.frozen(kw_only=True)
class DeviceSamples:
    """The samples of one device in a window, in order of time. `label`: its name in texts. `peers`:
    the same for all devices that should do the same work.
    """

    label: str
    samples: tuple[Sample, ...]
    peers: tuple[str, ...] = ()

    def slowdown(self) -> tuple[float, tuple[str, ...]]:
        """The share of samples with a reason of :data:`SLOWDOWNS`, and these reasons."""
        known = [sample.throttle for sample in self.samples if sample.throttle is not None]
        found = [[reason for reason in reasons if _slows(reason)] for reasons in known]
        share = sum(map(bool, found)) / len(known) if known else 0.0
        return share, tuple(dict.fromkeys(reason for some in found for reason in some))

    def capped(self) -> float | None:
        """The share of samples at the power limit; None if the device does not report it."""
        known = [sample.throttle for sample in self.samples if sample.throttle is not None]
        capped = sum(any(r.startswith(POWER_CAP) for r in reasons) for reasons in known)
        return capped / len(known) if known else None

    def lost(self) -> str | None:
        """Why the device stopped answering; None if it did not."""
        return next((sample.lost for sample in self.samples if sample.lost is not None), None)

    def values(self, field: str) -> list[float]:
        """The known values of a field of :class:`Sample`."""
        found = (getattr(sample, field) for sample in self.samples)
        return [float(value) for value in found if value is not None]


@attrs.frozen(kw_only=True)
class Devices:
    """Findings of one repeat. The keys of mappings are labels of devices or names of plugins.

    `gaps_s`: the longest time without a sample. `problems`: why samples are missing. `lost`: why a
    device stopped answering. `slowdowns`: share of samples with a slowdown, and the reasons.
    `slow_clocks`: median clock over the median of its peers. `idle`: devices that were idle while
    most peers worked. `below_limit`: the power limit and the board's default, in W. `foreign`:
    processes that use a device but do not belong to the run. `unseen`: hosts whose processes are
    not known here, so that `foreign` has none of theirs. `sampled`: accelerators have sent samples.
    """

    gaps_s: Mapping[str, float] = attrs.field(factory=dict)
    problems: Mapping[str, str] = attrs.field(factory=dict)
    lost: Mapping[str, str] = attrs.field(factory=dict)
    slowdowns: Mapping[str, tuple[float, tuple[str, ...]]] = attrs.field(factory=dict)
    slow_clocks: Mapping[str, float] = attrs.field(factory=dict)
    idle: tuple[str, ...] = ()
    below_limit: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    foreign: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    sampled: bool = True
    power_cap_share: float | None = None
    clock_hz: float | None = None


def accelerator_findings(
    devices: Sequence[DeviceSamples], *, idle_below: float, working_above: float
) -> Devices:
    """Findings from the samples of all accelerators."""
    groups: dict[tuple[str, ...], list[DeviceSamples]] = {}
    for one in devices:
        groups.setdefault(one.peers, []).append(one)
    capped = [share for one in devices if (share := one.capped()) is not None]
    all_clocks = [hz for one in devices for hz in one.values("clock_hz")]
    return Devices(
        lost={one.label: why for one in devices if (why := one.lost()) is not None},
        slowdowns={one.label: one.slowdown() for one in devices if one.slowdown()[0]},
        slow_clocks={k: v for peers in groups.values() for k, v in _of_peers(peers).items()},
        idle=tuple(k for peers in groups.values() for k in _idle(peers, idle_below, working_above)),
        sampled=any(one.samples for one in devices),
        power_cap_share=statistics.fmean(capped) if capped else None,
        clock_hz=statistics.fmean(all_clocks) if all_clocks else None,
    )


def longest_gap_s(ns: Sequence[int], start_ns: int, end_ns: int) -> float:
    """The longest time without a sample in a window, also at its edges."""
    inside = sorted(at for at in ns if start_ns <= at <= end_ns)
    return float(np.diff([start_ns, *inside, end_ns]).max()) / NS_PER_S


def _slows(reason: str) -> bool:
    return reason.partition(":")[0] in SLOWDOWNS


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _of_peers(devices: Sequence[DeviceSamples]) -> dict[str, float]:
    """Each median clock over the median of all; nothing for a device without peers."""
    medians = {one.label: _median(one.values("clock_hz")) for one in devices}
    clocks = {label: hz for label, hz in medians.items() if hz is not None}
    if len(clocks) < 2:
        return {}
    median = statistics.median(clocks.values())
    return {label: hz / median for label, hz in clocks.items()} if median > 0 else {}


def _idle(
    devices: Sequence[DeviceSamples], idle_below: float, working_above: float
) -> tuple[str, ...]:
    """Devices that did nothing while the median of their peers worked."""
    means = {one.label: one.values("utilization") for one in devices}
    used = {label: statistics.fmean(values) for label, values in means.items() if values}
    found = []
    for label, mean in used.items():
        peers = [value for other, value in used.items() if other != label]
        if peers and mean < idle_below and statistics.median(peers) > working_above:
            found.append(label)
    return tuple(found)
