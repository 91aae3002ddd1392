"""Finds the hardware of this machine, and problems that would spoil a measurement."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from tokenbench.api import BenchError, DeviceInfo, Probe
from tokenbench.launch.cpu_time import process_name
from tokenbench.launch.node.agent import cpu_model
from tokenbench.plan.probe import local_agent, probe_on
from tokenbench.plugins.extras import Extra, extras_of
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.store import calibration
from tokenbench.suite.schema import PluginRef

_USED_MEMORY = 0.05
"""Used share of a device's memory above which a problem is reported; drivers use up to 2 %."""
_FEW_FILES = 4096
_GIB = 1 << 30


@attrs.frozen(kw_only=True)
class Problem:
    """Something that would spoil a measurement, and how to fix it."""

    what: str
    fix: str


@attrs.frozen(kw_only=True)
class HardwareFinding:
    """What a hardware plugin found. `error`: why it failed. `unproven`: see HardwareSpec."""

    plugin: str
    distribution: str
    domain: str
    probe: Probe | None = None
    unproven: str | None = None
    error: str | None = None
    problems: tuple[Problem, ...] = ()


@attrs.frozen(kw_only=True)
class Examination:
    """Everything that `bench doctor` shows. `machine`: facts by name."""

    machine: dict[str, str]
    problems: tuple[Problem, ...]
    hardware: tuple[HardwareFinding, ...]
    extras: tuple[Extra, ...]


def examine(registry: PluginRegistry) -> Examination:
    """Probe this machine with every hardware plugin.

    Raises:
        PluginError: the node agent does not start.
    """
    # A separate registry: hooks of plugins that the user did not name must not be called.
    plugins = PluginInstances(registry.apart())
    candidates = registry.candidates
    with local_agent() as agent:
        found = []
        for candidate in (c for c in candidates if c.kind == "hardware"):
            ref = PluginRef.of(candidate.key)
            finding = HardwareFinding(
                plugin=candidate.name, distribution=candidate.distribution, domain="accelerator"
            )
            try:
                spec = plugins.spec("hardware", ref.key)
                probe = probe_on(agent, plugins, ref)
                finding = attrs.evolve(
                    finding,
                    domain=spec.domain,
                    unproven=spec.unproven,
                    probe=probe,
                    problems=device_problems(probe.devices, candidate.name, probe.fixes),
                )
            except BenchError as error:
                finding = attrs.evolve(finding, error=f"{error.message} ({error.hint})")
            found.append(finding)
    return Examination(
        machine=machine(),
        problems=tuple(_machine_problems()),
        hardware=tuple(found),
        extras=tuple(extras_of(sorted({c.distribution for c in candidates}))),
    )


def device_problems(
    devices: Sequence[DeviceInfo], plugin: str, fixes: Mapping[str, str]
) -> tuple[Problem, ...]:
    """The problems of these devices. `fixes`: see :class:`Probe`."""
    return tuple(
        attrs.evolve(problem, what=f"{plugin} {device.index}: {problem.what}")
        for device in devices
        for problem in (*_settings_problems(device, fixes), *_use_problems(device))
    )


def _settings_problems(device: DeviceInfo, fixes: Mapping[str, str]) -> list[Problem]:
    def problem(field: str, what: str, otherwise: str) -> Problem:
        command = fixes.get(field)
        return Problem(what=what, fix=otherwise if command is None else _filled(command, device))

    found = [Problem(what=fault, fix="see the vendor's tool") for fault in device.faults]
    limit, default = device.power_limit_w, device.default_power_limit_w
    if limit is not None and default is not None and limit < default:
        what = f"its power limit is {limit:g} W, the board's default {default:g} W"
        found.append(problem("power_limit_w", what, "restore the limit"))
    if device.clocks_locked:
        what = "its clocks are fixed: good for comparing kernels, not for what users get"
        found.append(problem("clocks_locked", what, "reset the clocks"))
    if device.persistence is False:
        what = "persistence mode is off: the driver may unload between processes"
        found.append(problem("persistence", what, "turn it on"))
    link = device.pcie
    if link is not None and link.width and link.max_width and link.width < link.max_width:
        what = f"its PCIe link has {link.width} of {link.max_width} lanes"
        found.append(Problem(what=what, fix="reseat the board, or move it"))
    return found


def _filled(command: str, device: DeviceInfo) -> str:
    try:
        return command.format(**attrs.asdict(device, recurse=False))
    except (LookupError, ValueError, TypeError):  # The device has no value for a placeholder.
        return command


def _use_problems(device: DeviceInfo) -> list[Problem]:
    if device.pids:
        names = [f"{process_name(Path(f'/proc/{pid}'))} (pid {pid})" for pid in device.pids]
        return [
            Problem(
                what=f"other processes use it: {', '.join(names)}",
                fix="stop them, or use other devices",
            )
        ]
    used, memory = device.memory_used_bytes, device.memory_bytes
    if used is not None and memory and used > _USED_MEMORY * memory:
        what = f"{used / _GIB:.1f} of {memory / _GIB:.1f} GiB of its memory are in use"
        return [Problem(what=what, fix="stop its processes; they may run in a container")]
    return []


def machine() -> dict[str, str]:
    """Facts of this machine that can change a number."""
    saved = calibration.saved()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "python": platform.python_version(),
        "open files": str(soft),
        "calibration": "none" if saved is None else str(saved.get("date", "saved")),
    }


def _machine_problems() -> list[Problem]:
    found = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FEW_FILES:
        fix = f"ulimit -n {hard if 0 < hard < 1 << 20 else 1 << 20}"
        what = f"the limit of open files is {soft}; each request in flight needs one"
        found.append(Problem(what=what, fix=fix))
    if calibration.saved() is None:
        found.append(
            Problem(
                what="the load generator was not calibrated on this machine", fix="bench calibrate"
            )
        )
    return found
