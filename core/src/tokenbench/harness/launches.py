"""Launch plans with values for all their symbols, without starting anything."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from tokenbench.api import FrozenMap, Host, LaunchPlan, Placement, ProcessSpec
from tokenbench.launch.placement import Device, place
from tokenbench.launch.symbols import bind_url, of_each_process, symbol_values

_FIRST_PORT = 20_000


def _placements(plan: LaunchPlan) -> tuple[Placement, ...]:
    """A place for every process of a plan, all on one host, with distinct ports and devices."""
    host = Host(name="sample", address="127.0.0.1", cpus=(0, 1))
    count = sum(process.accelerators * process.replicas for process in plan.processes)
    devices = {host.name: [Device(str(number)) for number in range(count)]}
    blocks = {process.role: process.ports for process in plan.processes}
    port, found = _FIRST_PORT, []
    for placement in place(plan.processes, [host], devices):
        ports = {}
        for block in blocks[placement.role]:
            ports[block.name] = port
            port += block.count
        found.append(attrs.evolve(placement, ports=FrozenMap(ports)))
    return tuple(found)


def bound_values(plan: LaunchPlan) -> Iterator[tuple[ProcessSpec, Placement, dict[str, str]]]:
    """Each process of a plan, its placement, and a value for every symbol that it may use."""
    placements = _placements(plan)
    for process in plan.processes:
        for placement in placements:
            if placement.role == process.role:
                values = symbol_values(placements, plan.processes, placement)
                for name in ("scratch", "shared", "weights"):
                    values[name] = name
                values["cpus"] = "2"
                values |= {f"file:{file.name}": f"scratch/{file.name}" for file in process.files}
                yield process, placement, values


def bound_urls(plan: LaunchPlan) -> Iterator[str]:
    """The URLs of a plan's endpoints, with a value for every symbol that they may use."""
    placements = _placements(plan)
    for endpoint in plan.endpoints:
        own = next((p for p in placements if p.role == endpoint.role), None)
        own = own if of_each_process(endpoint.url) else None
        yield bind_url(endpoint, symbol_values(placements, plan.processes, own))[0]
