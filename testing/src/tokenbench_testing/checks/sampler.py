"""Samplers: read the requested devices, fast, in the units of the fields."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import attrs

from tokenbench.api import SLOWDOWNS, Sample
from tokenbench_testing.kit import Subject, check, fail, skip

from .hardware import devices_of, module_of, on_host, probe_of

_SAMPLE_RANGES = {
    "power_w": (0.0, 1e5),
    "memory_used_bytes": (0.0, 1e15),
    "temperature_c": (-80.0, 200.0),
    "clock_hz": (0.0, 1e11),
}
_NORMAL = ("power cap", "idle", "clock setting", "other")
_SLOWEST_READING_S = 0.1
_REAL_READINGS, _REAL_PAUSE_S = 5, 0.25


class _Sampler:
    """The sampler of a node program, whose samples are values of the API."""

    def __init__(self, subject: Subject, devices: tuple[int, ...]) -> None:
        module, options = module_of(subject)
        self._program = on_host(subject)
        self._sampler: Any = module.sampler(options, list(devices))

    def sample(self) -> list[Sample]:
        """One reading, as it is after the agent sent it."""
        found = json.loads(json.dumps(self._sampler.sample()))
        return [self._program.to_sample(values) for values in found]

    def close(self) -> None:
        """Release the driver."""
        self._sampler.close()

    @property
    def absent(self) -> bool:
        """Whether nothing can be read on this host."""
        return self._sampler is None


@contextlib.contextmanager
def _sampler(subject: Subject) -> Iterator[tuple[_Sampler, tuple[int, ...]]]:
    """A sampler of all devices here, with their indexes."""
    devices = tuple(device.index for device in devices_of(subject))
    sampler = _Sampler(subject, devices)
    if sampler.absent:
        skip("it has no sampler on this host")
    try:
        yield sampler, devices
    finally:
        sampler.close()


def _readings(subject: Subject, count: int = 3, pause_s: float = 0.02) -> list[Sample]:
    """Samples of several readings, in order."""
    found: list[Sample] = []
    with _sampler(subject) as (sampler, _):
        for number in range(count):
            if number:
                time.sleep(pause_s)
            found += sampler.sample()
    return found


@check(2, "hardware")
def sampler_reads_the_requested_devices(subject: Subject) -> None:
    """A reading has one Sample per requested device, with that device's index.

    To fix: return {"device": 3, "lost": "why"} for a device that does not answer.
    """
    with _sampler(subject) as (sampler, devices):
        found = sampler.sample()
    if sorted(sample.device for sample in found) != sorted(devices):
        fail(f"requested {devices}, got {tuple(s.device for s in found)}")


@check(2, "hardware")
def utilization_is_a_fraction(subject: Subject) -> None:
    """`utilization` is between 0 and 1.

    To fix: divide percentages by 100.
    """
    for sample in _readings(subject):
        if sample.utilization is not None and not 0 <= sample.utilization <= 1:
            fail(f"device {sample.device}: utilization {sample.utilization}")


@check(2, "hardware")
def energy_never_decreases(subject: Subject) -> None:
    """`energy_j` counts up from an arbitrary start.

    To fix: add the counter's range when it wraps, and do not return differences.
    """
    last: dict[int, float] = {}
    for sample in _readings(subject):
        if sample.energy_j is not None:
            before = last.get(sample.device, sample.energy_j)
            if sample.energy_j < before:
                fail(f"device {sample.device}: {before} J, then {sample.energy_j} J")
            last[sample.device] = sample.energy_j


@check(2, "hardware")
def sample_figures_are_in_their_units(subject: Subject) -> None:
    """Values are in watts, bytes, degrees Celsius and hertz; unknown values are None, never -1.

    To fix: convert the driver's units (milliwatts, MiB, kHz).
    """
    for sample in _readings(subject):
        for field, (least, most) in _SAMPLE_RANGES.items():
            value = getattr(sample, field)
            if value is not None and not least <= value <= most:
                fail(f"device {sample.device}: {field} is {value:g}")


@check(2, "hardware")
def throttle_names_reasons(subject: Subject) -> None:
    """`throttle` has reasons of the API's vocabulary; empty if nothing slows the device.

    To fix: translate the driver's bits to thermal, hardware, power cap, idle, clock setting or
    other, each with a detail after a colon if there is one.
    """
    for sample in _readings(subject, count=1):
        for reason in sample.throttle or ():
            if reason.partition(":")[0] not in (*SLOWDOWNS, *_NORMAL):
                fail(f"device {sample.device}: throttle has {reason!r}")


@check(2, "hardware")
def sampler_is_fast(subject: Subject) -> None:
    """A reading takes less than 0.1 s: there are several per second during a measurement.

    To fix: keep the driver open between readings; do not start a program for each.
    """
    with _sampler(subject) as (sampler, _):
        taken = []
        for _reading in range(3):
            begun = time.monotonic()
            sampler.sample()
            taken.append(time.monotonic() - begun)
    if min(taken) > _SLOWEST_READING_S:
        fail(f"the fastest of three readings took {min(taken):.2f} s")


@check(2, "hardware")
def sampler_closes_twice(subject: Subject) -> None:
    """`close()` may be called twice.

    To fix: remember that the driver was released.
    """
    with _sampler(subject) as (sampler, _):
        try:
            sampler.close()
            sampler.close()
        except Exception as error:
            fail(f"close() raised {type(error).__name__}: {error}")


@check(2, "hardware")
def sampler_without_devices_is_harmless(subject: Subject) -> None:
    """A sampler of no devices, or of device 0 if there is none, is None or can be read.

    To fix: return None without a driver; say that a device is lost if it does not answer.
    """
    devices: tuple[int, ...] = () if probe_of(subject).devices else (0,)
    try:
        sampler = _Sampler(subject, devices)
        if not sampler.absent:
            sampler.sample()
            sampler.close()
    except Exception as error:
        fail(f"sampler({devices}) raised {type(error).__name__}: {error}")


@check(4, "hardware")
def real_devices_report_values(subject: Subject) -> None:
    """Within about a second, every device here reports at least one value.

    To fix: run as the same user as bench, and read the probe's notes.
    """
    reporting: set[int] = set()
    for sample in _readings(subject, _REAL_READINGS, _REAL_PAUSE_S):
        if any(value is not None for key, value in attrs.asdict(sample).items() if key != "device"):
            reporting.add(sample.device)
    silent = {device.index for device in devices_of(subject)} - reporting
    if silent:
        fail(f"devices {sorted(silent)} report no values")
