"""The hooks, in three families. All are prefixed ``bench_``; none is called in the request path.

A plugin is a module named by an entry point; it implements the hooks it needs and marks each with
``@hookimpl``. *Register* hooks say what there is, the *amend* hook changes launch plans, *observe*
hooks are told what happened. An implementation may leave out arguments that it does not use.
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
    """Engines: what starts model servers, or talks to one that is up.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import EngineSpec, hookimpl

        def make(options, context):
            from mine.engine import Mine
            return Mine(options)

        @hookimpl
        def bench_register_engines():
            return [EngineSpec(name="mine", summary="the server mine", factory=make)]
    """


@hookspec
def bench_register_hardware() -> Sequence[HardwareSpec]:  # type: ignore[empty-body]
    """Hardware: which chips exist, which are here, what they do.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.
    The telemetry agent calls it too, on every host of a deployment.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import HardwareSpec, hookimpl

        def make(options):
            from mine.chips import Chips
            return Chips()

        @hookimpl
        def bench_register_hardware():
            return [HardwareSpec(name="mine", summary="chips of mine", factory=make)]
    """


@hookspec
def bench_register_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Models: weights, facts, recipes, thresholds. Data, so there is no factory.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import ModelSpec, Weights, hookimpl

        BF16 = Weights(precision="bf16", format="safetensors", source="hub:o/mine", revision="1")

        @hookimpl
        def bench_register_models():
            return [ModelSpec(name="mine", summary="the model mine", weights=(BF16,))]
    """


@hookspec
def bench_register_workloads() -> Sequence[WorkloadSpec]:  # type: ignore[empty-body]
    """Workloads: what is asked of a server.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import WorkloadSpec, hookimpl

        def make(options):
            from mine.traffic import Traffic
            return Traffic(options)

        @hookimpl
        def bench_register_workloads():
            return [WorkloadSpec(name="mine", summary="traffic as seen at mine", factory=make)]
    """


@hookspec
def bench_register_evals() -> Sequence[EvalSpec]:  # type: ignore[empty-body]
    """Evals: questions, and how answers are graded.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.
    The eval worker, a process of its own, calls it too.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import EvalSpec, hookimpl

        def make(options):
            from mine.task import Task
            return Task(options)

        @hookimpl
        def bench_register_evals():
            return [EvalSpec(name="mine", summary="questions of mine", factory=make)]
    """


@hookspec
def bench_register_reporters() -> Sequence[ReporterSpec]:  # type: ignore[empty-body]
    """Reporters: results to tables, pages, files.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import ReporterSpec, hookimpl

        def make(options):
            from mine.page import Page
            return Page()

        @hookimpl
        def bench_register_reporters():
            return [ReporterSpec(name="mine", summary="a page of mine", factory=make)]
    """


@hookspec
def bench_register_launchers() -> Sequence[LauncherSpec]:  # type: ignore[empty-body]
    """Launchers: places to run processes.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import LauncherSpec, hookimpl

        def make(options, context):
            from mine.cluster import Cluster
            return Cluster(options, context)

        @hookimpl
        def bench_register_launchers():
            return [LauncherSpec(name="mine", summary="the cluster mine", factory=make)]
    """


@hookspec
def bench_register_codecs() -> Sequence[CodecSpec]:  # type: ignore[empty-body]
    """Wire formats, by the names that dialects and evals refer to.

    Called once, by the loader, when a plugin of this module is first named; in a process of its own
    by ``bench plugins list --check`` and by the conformance kit.
    Load workers call it too, before the clock starts: keep the module light.

    Must not: touch network, devices, files or processes; import what is heavy; depend on anything
    but the module itself. What a factory needs is imported inside the factory.

    Example::

        from tokenbench.api import CodecSpec, hookimpl

        def make():
            from mine.wire import Lines
            return Lines()

        @hookimpl
        def bench_register_codecs():
            return [CodecSpec(name="mine-lines", summary="a line a token", factory=make)]
    """


# -- amend: engine x hardware x model without n*m plugins ----------------------------------------


@hookspec
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """A change to a launch plan, with its reason; None for no opinion.

    Called while planning, by the planner, once per deployment for each loaded plugin, with the plan
    as the engine made it; plugins that only amend are loaded where a suite's ``use`` names them.
    Core merges all amendments over the hardware's and the recipes' settings and under the suite's
    own, refuses contradictions naming both plugins, and ``bench plan --explain`` shows who asked
    for what.

    Must not: look at this machine (a plan is pure), raise for an engine it does not know, or name a
    role that the plan does not have.

    Example::

        from tokenbench.api import Amendment, FrozenMap, hookimpl

        @hookimpl
        def bench_amend_launch(request, plan):
            if request.request.hardware.kind != "mine":
                return None
            flags = FrozenMap({"server": FrozenMap({"--use-mine": True})})
            return Amendment(reason="mine is faster with its own kernels", flags=flags)
    """


# -- observe: a failure is logged with the plugin's name and never loses a measurement -----------


@hookspec
def bench_run_started(event: RunStarted) -> None:
    """A run begins: its directory exists, nothing has been started yet.

    Called once a run, by the runner, for each loaded plugin.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_run_started(event):
            open(f"{event.path}/started.txt", "w").close()
    """


@hookspec
def bench_deployment_ready(event: DeploymentReady) -> None:
    """A server generated its first token.

    Called once a deployment (and once an eval twin), by the runner, before anything is measured.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_deployment_ready(event):
            urls = [endpoint.url for endpoint in event.endpoints]
    """


@hookspec
def bench_point_started(event: PointStarted) -> None:
    """A point is about to be measured.

    Called once a point, by the runner, before its warm-up; the measurement waits for it.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_point_started(event):
            number = event.point
    """


@hookspec
def bench_point_finished(event: PointFinished) -> None:
    """A point's result is on disk.

    Called once a point, by the runner, whatever became of the point; between measurements.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_point_finished(event):
            rate = event.result.metrics.get("output_tok_s")
    """


@hookspec
def bench_eval_finished(event: EvalFinished) -> None:
    """An eval's outcome is on disk.

    Called once an eval, by the runner, after the score was judged.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_eval_finished(event):
            passed = event.outcome.accuracy
    """


@hookspec
def bench_run_finished(event: RunFinished) -> None:
    """All is on disk and every process has stopped.

    Called once a run, by the runner, also where the run failed or was interrupted.

    Must not: change anything of the run, print, or take long; what it raises is logged with the
    plugin's name and stops nothing.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_run_finished(event):
            worked = event.exit_code == 0
    """
