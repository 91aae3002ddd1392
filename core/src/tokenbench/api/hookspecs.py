"""The hooks, in three families. All are prefixed ``bench_``; none is called in the request path.

A plugin is a module named by an entry point; it implements the hooks it needs::

    from tokenbench.api import EngineSpec, hookimpl

    @hookimpl
    def bench_register_engines():
        return [EngineSpec(name="mine", summary="...", factory=make)]
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pluggy

from .engine import EngineRequest
from .events import (
    DeploymentReady,
    EvalFinished,
    PointFinished,
    PointStarted,
    RunFinished,
    RunStarted,
)
from .launch import Amendment, LaunchPlan
from .model import ModelSpec
from .specs import (
    CodecSpec,
    EngineSpec,
    EvalSpec,
    HardwareSpec,
    LauncherSpec,
    ReporterSpec,
    WorkloadSpec,
)

PROJECT = "tokenbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@attrs.frozen(kw_only=True)
class AmendRequest:
    """What an amendment may look at: the engine's name and the request its plan came from."""

    engine: str
    request: EngineRequest


# -- register: pure, no network, no probing, no heavy import ------------------------------------


@hookspec
def bench_register_engines() -> Sequence[EngineSpec]:  # type: ignore[empty-body]
    """Engines of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_hardware() -> Sequence[HardwareSpec]:  # type: ignore[empty-body]
    """Hardware of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Models of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_workloads() -> Sequence[WorkloadSpec]:  # type: ignore[empty-body]
    """Workloads of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_evals() -> Sequence[EvalSpec]:  # type: ignore[empty-body]
    """Evals of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_reporters() -> Sequence[ReporterSpec]:  # type: ignore[empty-body]
    """Reporters of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_launchers() -> Sequence[LauncherSpec]:  # type: ignore[empty-body]
    """Launchers of this plugin. Called once, when the plugin is loaded."""


@hookspec
def bench_register_codecs() -> Sequence[CodecSpec]:  # type: ignore[empty-body]
    """Wire formats of this plugin. Called once; in load workers too, so keep the module light."""


# -- amend: engine x hardware x model without n*m plugins ----------------------------------------


@hookspec
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """A change to a launch plan, with its reason; None for no opinion.

    Called while planning, once per deployment, for each loaded plugin. Must be pure. Core merges
    all amendments, refuses contradictions naming both plugins, and records who asked for what.
    """


# -- observe: a failure is logged with the plugin's name and never loses a measurement -----------


@hookspec
def bench_run_started(event: RunStarted) -> None:
    """The run directory exists; nothing has been started yet."""


@hookspec
def bench_deployment_ready(event: DeploymentReady) -> None:
    """A server generated its first token. Called between measurements."""


@hookspec
def bench_point_started(event: PointStarted) -> None:
    """A point is about to be measured. Be quick: the measurement waits for you."""


@hookspec
def bench_point_finished(event: PointFinished) -> None:
    """A point's result is on disk."""


@hookspec
def bench_eval_finished(event: EvalFinished) -> None:
    """An eval's outcome is on disk."""


@hookspec
def bench_run_finished(event: RunFinished) -> None:
    """All is on disk and every process has stopped."""
