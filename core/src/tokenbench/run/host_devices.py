"""The accelerators of a host that a deployment may use."""

from __future__ import annotations

from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.placement import Device
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plan.probe import probe_on

from .context import RunContext


def devices_of(run: RunContext, deployment: PlannedDeployment, agent: NodeAgent) -> list[Device]:
    """The planned devices, if the host is this machine and the plan has any; otherwise those that
    the deployment's hardware plugins find on the host.

    Raises:
        PluginError: a plugin failed on the host.
    """
    if not deployment.accelerated:
        return []
    if agent.is_here and deployment.devices:
        return [Device(d.handle or str(d.index), d.sku) for d in deployment.devices]
    probes = [probe_on(agent, run.plugins, ref) for ref in deployment.all_hardware]
    # A device that the catalogue does not know fits no process that is planned for a SKU.
    return [
        Device(d.handle or str(d.index), d.sku or d.name) for probe in probes for d in probe.devices
    ]
