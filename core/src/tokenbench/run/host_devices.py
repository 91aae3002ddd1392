"""The accelerators of a host that a deployment may use."""

from __future__ import annotations

from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.node.program import RunningProgram
from tokenbench.launch.placement import Device
from tokenbench.plan.plan import PlannedDeployment

from .context import RunContext


def devices_of(run: RunContext, deployment: PlannedDeployment, agent: NodeAgent) -> list[Device]:
    """The planned devices if the host is this machine; otherwise those that the deployment's
    hardware plugins find on the host.

    Raises:
        PluginError: a plugin failed on the host.
    """
    if not deployment.accelerated:
        return []
    if agent.is_here:
        return [Device(d.handle or str(d.index), d.sku) for d in deployment.devices]
    found = []
    for ref in deployment.all_hardware:
        program = run.plugins.hardware(ref).program()
        if program is not None:
            running = RunningProgram(agent, run.plugins.owner("hardware", ref.key), program)
            found += [Device(d.handle or str(d.index), d.sku) for d in running.probe().devices]
    return found
