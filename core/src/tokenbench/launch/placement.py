"""Which process runs on which host, with which accelerators. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from tokenbench.api import HardwareAbsent, Host, Placement, PluginError, ProcessSpec


@attrs.frozen
class Device:
    """An accelerator of a host: its handle, and its SKU if that is known."""

    handle: str
    sku: str | None = None


def place(
    processes: Sequence[ProcessSpec],
    hosts: Sequence[Host],
    devices: Mapping[str, Sequence[Device]],
) -> list[Placement]:
    """Place every process, without ports. Roles are in the given order, each sidecar after its
    role; replicas and ranks are in their order.

    Ranks of one replica go to different hosts if there are enough hosts. Processes without
    accelerators go to the host with the fewest processes, others to the first one that has enough
    free devices.

    Args:
        devices: what each host has, by its name.

    Raises:
        HardwareAbsent: a rank finds no host with enough free devices.
        PluginError: accelerators cannot be spread evenly, or a sidecar's role does not exist.
    """
    free = {host.name: list(devices.get(host.name, ())) for host in hosts}
    placed: list[Placement] = []
    for spec in sorted(processes, key=lambda process: process.beside is not None):
        if spec.accelerators % spec.ranks:
            raise PluginError(
                f"{spec.role}: {spec.accelerators} accelerators cannot be spread evenly over "
                f"{spec.ranks} ranks",
                hint="report it to the plugin's author",
            )
        for index in range(spec.replicas):
            for rank in range(spec.ranks):
                host = _host(spec, index, hosts, free, placed)
                taken = _take(free[host.name], spec)
                placed.append(
                    Placement(
                        role=spec.role,
                        index=index,
                        rank=rank,
                        host=host,
                        devices=tuple(device.handle for device in taken),
                    )
                )
    order = {spec.role: number for number, spec in enumerate(processes)}
    return sorted(placed, key=lambda one: (order[one.role], one.index, one.rank))


def _host(
    spec: ProcessSpec,
    index: int,
    hosts: Sequence[Host],
    free: Mapping[str, Sequence[Device]],
    placed: Sequence[Placement],
) -> Host:
    if spec.beside is not None:
        return _neighbour(spec, index, placed)
    wanted = spec.accelerators // spec.ranks
    able = [host for host in hosts if len(_fitting(free[host.name], spec)) >= wanted]
    if not able:
        most = max((len(_fitting(free[host.name], spec)) for host in hosts), default=0)
        what = f"{wanted} x {spec.sku}" if spec.sku else f"{wanted} accelerators"
        each = " on one host for each of its ranks" if spec.ranks > 1 else " on one host"
        others = sorted({d.sku for host in hosts for d in free[host.name] if d.sku} - {spec.sku})
        raise HardwareAbsent(
            f"{spec.role} {index} needs {what}{each}; no host has more than {most} free",
            hint=f"the hosts have {', '.join(others)}: plan for that with --hardware"
            if spec.sku and others and not most
            else "use a smaller topology, fewer replicas or more hosts",
        )
    mine = Counter(p.host.name for p in placed if (p.role, p.index) == (spec.role, index))
    all_of = Counter(p.host.name for p in placed)
    return min(able, key=lambda h: (mine[h.name], 0 if wanted else all_of[h.name]))


def _neighbour(spec: ProcessSpec, index: int, placed: Sequence[Placement]) -> Host:
    found = [p.host for p in placed if (p.role, p.rank) == (spec.beside, 0)]
    if not found:
        raise PluginError(
            f"{spec.role} should run beside {spec.beside!r}, but there is no such process",
            hint="report it to the plugin's author",
        )
    return found[index % len(found)]


def _fitting(devices: Sequence[Device], spec: ProcessSpec) -> list[Device]:
    return [device for device in devices if spec.sku is None or device.sku in (None, spec.sku)]


def _take(free: list[Device], spec: ProcessSpec) -> list[Device]:
    taken = _fitting(free, spec)[: spec.accelerators // spec.ranks]
    for device in taken:
        free.remove(device)
    return taken
