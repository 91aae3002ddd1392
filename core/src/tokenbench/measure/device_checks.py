"""Checks of the devices, from telemetry."""

from __future__ import annotations

from tokenbench.api import Check

from .checks import above, not_assessed, percent
from .devices import Devices
from .evidence import Evidence
from .thresholds import CertificationThresholds, Limits


def telemetry(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Lost devices, samplers that failed or hung, gaps between samples."""
    name = "telemetry"
    devices = evidence.devices
    if devices is None or not (devices.gaps_s or devices.problems):
        return not_assessed(name, "no telemetry")
    faults = [f"{label}: {why}" for label, why in devices.problems.items()]
    faults += [f"{label} is lost: {why}" for label, why in devices.lost.items()]
    faults += [
        f"{label}: no sample for {gap:.1f} s"
        for label, gap in devices.gaps_s.items()
        if gap > limits.telemetry_gap_s
    ]
    longest = max(devices.gaps_s.values(), default=0.0)
    if faults:
        text = f"{'; '.join(faults)}; limit {limits.telemetry_gap_s:g} s"
    else:
        text = f"at most {longest:.1f} s between samples, limit {limits.telemetry_gap_s:g} s"
    return above(name, float(len(faults)), Limits(flag=0.0), text)


def accelerators(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Slowdowns, lowered limits, slow or idle devices, foreign processes, wrong energy counters."""
    name = "accelerators"
    if not evidence.accelerated:
        return not_assessed(name, "the deployment has no accelerator")
    devices = evidence.devices
    if devices is None:
        return not_assessed(name, "no telemetry")
    faults = [*_slow(devices, limits), *_disturbed(devices)]
    ratio = evidence.metrics.get("energy_counter_ratio.accelerator")
    if ratio is not None and abs(ratio - 1.0) > limits.energy_counter_deviation:
        faults.append(
            f"the energy counter reads {percent(ratio, 0)} of the power integral, "
            f"limit 100 ± {percent(limits.energy_counter_deviation, 0)}"
        )
    if not faults and not devices.sampled:
        return not_assessed(name, "no telemetry of accelerators")
    seen = "no slowdown, no other user"
    if devices.unseen:
        seen = f"no slowdown; other users of {', '.join(devices.unseen)} are not known here"
    text = "; ".join(faults) or seen
    return above(name, float(len(faults)), Limits(flag=0.0), text)


def _slow(devices: Devices, limits: CertificationThresholds) -> list[str]:
    faults = [
        f"{label} was slowed down in {percent(share)} of the samples ({', '.join(reasons)}), "
        f"limit {percent(limits.slowdown_share, 0)}: check cooling and power supply"
        for label, (share, reasons) in devices.slowdowns.items()
        if share > limits.slowdown_share
    ]
    return faults + [
        f"the clock of {label} is {percent(share, 0)} of the median, "
        f"limit {percent(limits.clock_of_peers, 0)}"
        for label, share in devices.slow_clocks.items()
        if share < limits.clock_of_peers
    ]


def _disturbed(devices: Devices) -> list[str]:
    faults = [f"{label} was idle while the others worked" for label in devices.idle]
    faults += [
        f"the power limit of {label} is {limit:g} W, the board's default {default:g} W: restore it"
        for label, (limit, default) in devices.below_limit.items()
    ]
    if devices.foreign:
        faults.append(f"other processes use the devices: {', '.join(devices.foreign)}")
    return faults
