"""A plan: everything that will run, as data."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    AccuracyThreshold,
    DeviceInfo,
    EngineRequest,
    LaunchPlan,
    Probe,
)
from tokenbench.load.cores import Cores
from tokenbench.suite.schema import DeploymentRequest, PluginRef
from tokenbench.suite.structure import unstructure

from .canonical import plain
from .layers import Setting
from .resolve import ResolvedSuite
from .series import PlannedPoint, PlannedSeries


@attrs.frozen(kw_only=True)
class EvalTwin:
    """A second server for an eval; it differs from the measured one in `settings` only."""

    launch: LaunchPlan
    request: EngineRequest
    settings: tuple[str, ...]


@attrs.frozen(kw_only=True)
class PlannedEval:
    """One eval on one deployment, answered by its `twin` if it has one.

    `name`: the eval's, numbered if the deployment has several evals of that name. `gate`: it ends
    as soon as it passes or fails.
    """

    name: str
    ref: PluginRef
    threshold: AccuracyThreshold | None
    twin: EvalTwin | None = None
    gate: bool = False

    @property
    def twin_settings(self) -> tuple[str, ...]:
        """In what the answering server differs from the measured one."""
        return () if self.twin is None else self.twin.settings


@attrs.frozen(kw_only=True)
class PlannedDeployment:
    """One server (with all its processes), the points it serves and the evals it answers.

    `hardware`: the plugin; `pool_hardware`: those of pools whose hardware differs. `probe`: the
    hardware of this machine; `devices`: those that the deployment uses. Both are empty if a SKU was
    planned from the catalogue. `number`: more than 1 if an earlier deployment has the same identity
    and differs only in its address.
    """

    id: str
    asked: DeploymentRequest
    request: EngineRequest
    hardware: PluginRef
    probe: Probe
    devices: tuple[DeviceInfo, ...]
    accelerated: bool
    launch: LaunchPlan
    settings: tuple[Setting, ...]
    series: tuple[PlannedSeries, ...]
    evals: tuple[PlannedEval, ...]
    pool_hardware: tuple[PluginRef, ...] = ()
    number: int = 1
    notes: tuple[str, ...] = ()

    @property
    def all_hardware(self) -> tuple[PluginRef, ...]:
        """The hardware plugins whose devices its processes use."""
        return tuple(dict.fromkeys([self.hardware, *self.pool_hardware]))

    @property
    def points(self) -> tuple[PlannedPoint, ...]:
        """The points known beforehand."""
        return tuple(point for series in self.series for point in series.points)

    @property
    def label(self) -> str:
        """Short text for tables and logs."""
        model = self.request.model if self.asked.model else self.request.served_name
        parts = [self.asked.engine.name, model]
        return " / ".join(p for p in parts if p)


def _constant(value: Any) -> Any:
    """Without values that differ between probes, so that the same arguments give the same data."""
    if isinstance(value, Probe):
        return attrs.evolve(value, devices=_constant(value.devices))
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    if isinstance(value, DeviceInfo):
        return attrs.evolve(value, memory_used_bytes=None, pids=None)
    return value


@attrs.frozen(kw_only=True)
class Plan:
    """All deployments of a suite, in order, and the cores of this machine."""

    resolved: ResolvedSuite
    deployments: tuple[PlannedDeployment, ...]
    cores: Cores

    def data(self) -> dict[str, Any]:
        """The plan as plain data, with the points known beforehand."""
        return {
            "suite": unstructure(self.resolved.suite),
            "cores": plain(self.cores),
            "deployments": [
                {
                    field.name: plain(_constant(getattr(deployment, field.name)))
                    for field in attrs.fields(PlannedDeployment)
                    if field.name != "series"
                }
                | {"points": [plain(point) for point in deployment.points]}
                for deployment in self.deployments
            ],
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the plan."""
        hardware = [note for deployment in self.deployments for note in deployment.notes]
        repeated = (
            f"deployment {index + 1} ({deployment.label}) has the settings of an earlier one and "
            f"differs only in its address; its points are numbered {deployment.number}"
            for index, deployment in enumerate(self.deployments)
            if deployment.number > 1
        )
        return tuple(dict.fromkeys([*hardware, *repeated]))

    @property
    def points(self) -> int:
        """How many points are known beforehand."""
        return sum(len(deployment.points) for deployment in self.deployments)
