"""A plan: everything that will run, as data."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import (
    AccuracyThreshold,
    EngineRequest,
    LaunchPlan,
)
from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite

from .canonical import plain
from .layers import Setting
from .series import PlannedPoint, PlannedSeries


@attrs.frozen(kw_only=True)
class PlannedEval:
    """One eval on one deployment. With a `twin`, another server answers, which differs in
    `twin_settings` only.
    """

    ref: PluginRef
    threshold: AccuracyThreshold | None
    twin: LaunchPlan | None = None
    twin_request: EngineRequest | None = None
    twin_settings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PlannedDeployment:
    """One server (with all its processes), the points it serves and the evals it answers."""

    id: str
    asked: DeploymentRequest
    request: EngineRequest
    launch: LaunchPlan
    settings: tuple[Setting, ...]
    series: tuple[PlannedSeries, ...]
    evals: tuple[PlannedEval, ...]

    @property
    def points(self) -> tuple[PlannedPoint, ...]:
        """The points that are certain beforehand."""
        return tuple(point for series in self.series for point in series.points)

    @property
    def label(self) -> str:
        """Short text for tables and logs."""
        parts = [self.asked.engine.name, self.asked.model or self.request.served_name]
        return " / ".join(p for p in parts if p)


@attrs.frozen(kw_only=True)
class Plan:
    """All deployments of a suite, in order."""

    suite: Suite
    deployments: tuple[PlannedDeployment, ...]

    def data(self) -> dict[str, Any]:
        """The plan as plain data, with the points that are certain beforehand."""
        found: dict[str, Any] = plain(self)
        for deployment, data in zip(self.deployments, found["deployments"], strict=True):
            data["points"] = [plain(point) for point in deployment.points]
        return found

    @property
    def points(self) -> int:
        """How many points are certain beforehand."""
        return sum(len(deployment.points) for deployment in self.deployments)
