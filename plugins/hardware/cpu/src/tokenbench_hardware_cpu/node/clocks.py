"""Clocks of the CPU and their governors, from cpufreq.

Kernel documentation, "CPU Performance Scaling", "intel_pstate" and "amd-pstate" (docs.kernel.org,
read 2026-11): frequencies are in kHz. /proc/cpuinfo's "cpu MHz" is not used: on virtual machines it
is a constant nominal value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import last_number, number, text

NO_CLOCK = "no cpufreq policy shows a current clock (a virtual machine hides it)"

_CPUFREQ = "devices/system/cpu/cpufreq"
# Kernels before 5.18 may wake each CPU and wait 10 ms for its clock, so only a few are read.
_MOST_CLOCKS = 8
# With these drivers "powersave" is the name of a dynamic algorithm. With any other it selects the
# lowest clock of the policy.
_DYNAMIC_POWERSAVE = {"intel_pstate", "amd-pstate-epp"}


def clocks(sys: Path) -> list[Path]:
    """Files of current clocks that can be read now: at most 8, distributed over all policies."""
    files = _of_policies(sys, "scaling_cur_freq")
    step = max(1, -(-len(files) // _MOST_CLOCKS))
    return [file for file in files[::step] if number(file) is not None]


def clock_hz(files: Sequence[Path]) -> float | None:
    """Mean clock; None if unknown."""
    known = [value for value in map(number, files) if value is not None]
    return sum(known) / len(known) * 1e3 if known else None


def max_clock_hz(sys: Path) -> float | None:
    """The highest clock of the fastest core, boost included; None if unknown."""
    known = [value for value in map(number, _of_policies(sys, "cpuinfo_max_freq")) if value]
    return max(known) * 1e3 if known else None


def locked(sys: Path) -> bool | None:
    """Whether every policy's lowest and highest clock are equal; None if unknown."""
    lowest = [number(file) for file in _of_policies(sys, "scaling_min_freq")]
    highest = [number(file) for file in _of_policies(sys, "scaling_max_freq")]
    if not lowest or None in lowest or None in highest:
        return None
    return lowest == highest


def governor(sys: Path) -> str | None:
    """The active frequency governors; None if the kernel does not scale clocks."""
    return _values(sys, "scaling_governor")


def facts(sys: Path) -> dict[str, str | None]:
    """How clocks are set, in words."""
    driver = _values(sys, "scaling_driver")
    return {
        "clock_driver": driver,
        "clock_policy": _policy_in_words(governor(sys), driver),
        "energy_preference": _values(sys, "energy_performance_preference"),
        "boost": _boost(sys),
    }


def _policy_in_words(governors: str | None, driver: str | None) -> str | None:
    if governors is None or "powersave" not in governors:
        return None
    if driver in _DYNAMIC_POWERSAVE:
        return (
            "powersave: clocks follow the load and rise later than with the governor performance "
            "(to change it: cpupower frequency-set -g performance)"
        )
    return (
        "powersave: clocks stay at their lowest value "
        "(to change it: cpupower frequency-set -g performance)"
    )


def _boost(sys: Path) -> str | None:
    """Whether clocks above the nominal one are allowed (turbo, core performance boost)."""
    no_turbo = number(sys / "devices/system/cpu/intel_pstate/no_turbo")
    if no_turbo is not None:
        return "off" if no_turbo else "on"
    boost = number(sys / _CPUFREQ / "boost")
    return None if boost is None else ("on" if boost else "off")


def _of_policies(sys: Path, name: str) -> list[Path]:
    files = (sys / _CPUFREQ).glob(f"policy*/{name}")
    return sorted(files, key=lambda file: last_number(file.parent.name))


def _values(sys: Path, name: str) -> str | None:
    """The different values of a file of all policies."""
    values = {text(file) for file in _of_policies(sys, name)} - {""}
    return ", ".join(sorted(values)) or None
