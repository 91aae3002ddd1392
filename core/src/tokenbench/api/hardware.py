"""Hardware: a catalogue of SKUs (data), what its processes need, and a program for each host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs

from .frozen import FrozenMap
from .sku import Sku

SLOWDOWNS = ("thermal", "hardware")
"""Reasons in `Sample.throttle` that disturb a measurement: heat, a fault or a power brake. Others
are normal and only recorded: ``power cap``, ``idle``, ``clock setting``, ``other``. A reason may
have a detail: ``hardware: power brake``.
"""


@attrs.frozen(kw_only=True)
class PcieLink:
    """A PCIe link: generation and lanes now, and the maximum of the device and its host.

    Drivers lower the generation of an idle link.
    """

    generation: int | None = None
    max_generation: int | None = None
    width: int | None = None
    max_width: int | None = None


@attrs.frozen(kw_only=True)
class DeviceInfo:
    """One device found by a probe. None for what its driver does not report.

    `index` identifies it in samples. `handle` is what a process is given to select it (a UUID, the
    name of a partition); None if that is the index. `firmware`: of the board (VBIOS).
    `max_clock_hz`: of the compute clock. `clocks_locked`: someone fixed the clocks. `persistence`:
    the driver stays loaded without clients. `partition`: how the board is divided (``MIG``,
    ``CPX/NPS4``), None if it is whole. `scale_up_links`: links to other accelerators that are up.
    `fabric`: the scale-up domain it belongs to. `pids`: processes that use it; None if unknown.
    `faults`: what the driver reports as broken, in words.
    """

    index: int
    name: str
    handle: str | None = None
    sku: str | None = None
    uuid: str | None = None
    pci: str | None = None
    driver: str | None = None
    firmware: str | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    max_clock_hz: float | None = None
    clocks_locked: bool | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    partition: str | None = None
    numa_node: int | None = None
    pcie: PcieLink | None = None
    scale_up_links: int | None = None
    fabric: str | None = None
    pids: tuple[int, ...] | None = None
    faults: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Probe:
    """The hardware on a host. Without devices, `reason` says why and `hint` what would help.

    `notes` explains why a field of Sample cannot be measured here (key: field name). `facts` is for
    provenance. `fixes`: the command that restores a field of DeviceInfo, with its fields as
    placeholders: ``{"power_limit_w": "vendor-smi -i {index} -pl {default_power_limit_w:.0f}"}``.
    """

    devices: tuple[DeviceInfo, ...] = ()
    reason: str | None = None
    hint: str | None = None
    notes: FrozenMap[str] = FrozenMap()
    facts: FrozenMap[str] = FrozenMap()
    fixes: FrozenMap[str] = FrozenMap()


@attrs.frozen(kw_only=True)
class Sample:
    """One reading of one device; None for fields it does not report. The agent adds time and host.

    `energy_j` counts up from an arbitrary start; `utilization` is a fraction in [0, 1]; `throttle`
    has the active reasons for a lower clock (see `SLOWDOWNS`; empty: none); `clock_hz` is the
    compute clock. `pids`: processes that use the device, as this host numbers them. `lost`: why the
    device does not answer any more; its other fields are None then.
    """

    device: int
    power_w: float | None = None
    energy_j: float | None = None
    utilization: float | None = None
    memory_used_bytes: int | None = None
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    clock_hz: float | None = None
    memory_clock_hz: float | None = None
    throttle: tuple[str, ...] | None = None
    pids: tuple[int, ...] | None = None
    lost: str | None = None


@attrs.frozen(kw_only=True)
class NodeProgram:
    """The part of a hardware plugin that runs on each host: a module that finds devices and samples
    them.

    The host needs Python 3.8 or newer and nothing else: core sends the module's files. It may
    import the standard library, its own files (relatively, if it is a package) and `bindings`:
    modules in pure Python that are installed here and travel with it. Packages that it expects on
    the host (``amdsmi``) may be missing there. It has two functions, whose results are dicts with
    the fields of the classes named:

    ``probe(options) -> dict``
        a :class:`Probe` as dict. Never raises.
    ``sampler(options, devices) -> object | None``
        an object with ``sample()``, which returns a list of :class:`Sample` as dicts, and
        ``close()``. None if nothing can be read.

    `module`: its name, for example ``tokenbench_hardware_nvidia.node``. `options`: a dict that JSON
    can represent, passed to both functions.
    """

    module: str
    bindings: tuple[str, ...] = ()
    options: FrozenMap[str | int | float | bool | None] = FrozenMap()


@attrs.frozen(kw_only=True)
class DeviceSettings:
    """What each process with accelerators needs in order to use its own devices, and why.

    Values of `environment` may contain symbols: ``{"CUDA_VISIBLE_DEVICES": "{devices}"}``.
    `devices` (device nodes) and `groups` are for launchers that isolate processes.
    """

    reason: str
    environment: FrozenMap[str] = FrozenMap()
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Hardware(ABC):
    """One vendor's accelerators, the host's CPU, or the host's power meter."""

    @abstractmethod
    def catalogue(self) -> Sequence[Sku]:
        """All chips the plugin knows. Pure data."""

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        """What processes on accelerators of this SKU need. Pure.

        Args:
            sku: the catalogue's name; None for a device that is not in the catalogue.
        """
        return ()

    def program(self) -> NodeProgram | None:
        """What runs on each host; None if the plugin has a catalogue only."""
        return None
