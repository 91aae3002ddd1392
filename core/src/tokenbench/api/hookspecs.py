"""The hooks, in three families. All are prefixed ``bench_``; none is called in the request path.

A plugin is a module named by an entry point. It implements the hooks it needs and marks each with
``@hookimpl``. *Register* hooks return specs, the *amend* hook changes launch plans, *observe* hooks
receive events. An implementation may omit arguments; `options` is None without `bench_use_options`.

The name of an entry point is the name of a spec that the module registers: one for each spec.

The amend and observe hooks are called in every module that the run has loaded. A module is loaded
if the run names one of its plugins: ``--engine``, ``--workload``, ...; ``--use NAME``, or ``use``
in a suite, for amendments and observers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from .amend_request import AmendRequest
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


# -- register: pure, no network, no probing, no heavy import ------------------------------------


@hookspec
def bench_register_engines() -> Sequence[EngineSpec]:  # type: ignore[empty-body]
    """Engines: start a model server, or use one that is already running.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import EngineSpec, hookimpl

        def make(options, context):
            from mine.engine import Mine
            return Mine(options)

        @hookimpl
        def bench_register_engines():
            return [EngineSpec(name="mine", summary="my server", factory=make)]
    """


@hookspec
def bench_register_hardware() -> Sequence[HardwareSpec]:  # type: ignore[empty-body]
    """Hardware: a catalogue of chips, and a program that finds and samples them on hosts.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import HardwareSpec, hookimpl

        def make(options):
            from mine.chips import Chips
            return Chips()

        @hookimpl
        def bench_register_hardware():
            return [HardwareSpec(name="mine", summary="my chips", factory=make)]
    """


@hookspec
def bench_register_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Models: weights, architecture, recipes, thresholds. Data, or a factory that reads files.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import ModelSpec, hookimpl, hub_weights

        BF16 = hub_weights("bf16", "o/mine", revision="1a2b3c")

        @hookimpl
        def bench_register_models():
            return [ModelSpec(name="mine", summary="my model", weights=(BF16,))]
    """


@hookspec
def bench_register_workloads() -> Sequence[WorkloadSpec]:  # type: ignore[empty-body]
    """Workloads: the sessions that are sent to a server.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import WorkloadSpec, hookimpl

        def make(options):
            from mine.traffic import Traffic
            return Traffic(options)

        @hookimpl
        def bench_register_workloads():
            return [WorkloadSpec(name="mine", summary="my traffic", factory=make)]
    """


@hookspec
def bench_register_evals() -> Sequence[EvalSpec]:  # type: ignore[empty-body]
    """Evals: questions, and how their answers are graded.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.
    Also called by the eval worker, in its own process.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import EvalSpec, hookimpl

        def make(options):
            from mine.task import Task
            return Task(options)

        @hookimpl
        def bench_register_evals():
            return [EvalSpec(name="mine", summary="my questions", factory=make)]
    """


@hookspec
def bench_register_reporters() -> Sequence[ReporterSpec]:  # type: ignore[empty-body]
    """Reporters: render results as tables, pages or files.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import ReporterSpec, hookimpl

        def make(options):
            from mine.page import Page
            return Page()

        @hookimpl
        def bench_register_reporters():
            return [ReporterSpec(name="mine", summary="my page", factory=make)]
    """


@hookspec
def bench_register_launchers() -> Sequence[LauncherSpec]:  # type: ignore[empty-body]
    """Launchers: start processes on some set of machines.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import LauncherSpec, hookimpl

        def make(options, context):
            from mine.cluster import Cluster
            return Cluster(options, context)

        @hookimpl
        def bench_register_launchers():
            return [LauncherSpec(name="mine", summary="my cluster", factory=make)]
    """


@hookspec
def bench_register_codecs() -> Sequence[CodecSpec]:  # type: ignore[empty-body]
    """Codecs, by the names that dialects and evals refer to.

    Called once by the loader when a plugin of this module is first requested, and in a separate
    process by ``bench plugins list --check`` and by the conformance kit.
    Also called by load workers before the clock starts: keep the module small.

    Must not: use network, devices, files or processes; import heavy packages; depend on anything
    outside the module. Import what a factory needs inside the factory.

    Example::

        from tokenbench.api import CodecSpec, hookimpl

        def make():
            from mine.codec import Lines
            return Lines()

        @hookimpl
        def bench_register_codecs():
            return [CodecSpec(name="mine-lines", summary="one JSON line per token", factory=make)]
    """


# -- amend: engine x hardware x model without n*m plugins ----------------------------------------


@hookspec
def bench_use_options() -> type[Any]:  # type: ignore[empty-body]
    """The options class of this module's amendment and observers (``--use NAME:key=value``).

    Called by the loader when the module is used. Must not: depend on anything outside the module.

    Example::

        from tokenbench.api import hookimpl, option, options

        @options
        class Options:
            protocol: str = option(default="tcp", help="transfer protocol")

        @hookimpl
        def bench_use_options():
            return Options
    """


@hookspec
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan, options: Any) -> Amendment | None:
    """A change to a launch plan, with its reason; None for no change.

    Called by the planner while planning, once per deployment and loaded plugin, with the plan as
    the engine made it. Plugins that only amend are loaded if a suite's ``use`` names them.
    Amendments override the settings of hardware and recipes (`recipes_win`: of hardware only); the
    suite's own settings override amendments. Core refuses contradicting amendments and names their
    plugins. ``bench plan --explain`` shows where settings come from. Raise a UsageError for what
    cannot work.

    Must not: read facts of this machine (a plan is pure), raise for an unknown engine, or name a
    role that the plan does not have.

    Example::

        from tokenbench.api import Amendment, FrozenMap, hookimpl

        @hookimpl
        def bench_amend_launch(request, plan):
            if request.request.hardware.kind != "mine":
                return None
            flags = FrozenMap({"server": FrozenMap({"--use-mine": True})})
            return Amendment(reason="its own kernels are faster", flags=flags)
    """


# -- observe: an exception is logged with the plugin's name and does not stop the run -------------


@hookspec
def bench_run_started(event: RunStarted, options: Any) -> None:
    """A run starts: its directory exists, no process is running yet.

    Called once per run by the runner, for each loaded plugin.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_run_started(event):
            open(f"{event.path}/started.txt", "w").close()
    """


@hookspec
def bench_deployment_ready(event: DeploymentReady, options: Any) -> None:
    """A server generated its first token.

    Called once per deployment and eval twin by the runner, before anything is measured.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_deployment_ready(event):
            urls = [endpoint.url for endpoint in event.endpoints]
    """


@hookspec
def bench_point_started(event: PointStarted, options: Any) -> None:
    """A point is about to be measured.

    Called once per point by the runner, before its warm-up. The measurement waits for it.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_point_started(event):
            number = event.point
    """


@hookspec
def bench_point_finished(event: PointFinished, options: Any) -> None:
    """A point's result is on disk.

    Called once per point by the runner, between measurements, also for failed points.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_point_finished(event):
            rate = event.result.mean("output_tok_s.whole")
    """


@hookspec
def bench_eval_finished(event: EvalFinished, options: Any) -> None:
    """An eval's outcome is on disk.

    Called once per eval by the runner, after the score was compared with its threshold.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_eval_finished(event):
            passed = event.outcome.accuracy
    """


@hookspec
def bench_run_finished(event: RunFinished, options: Any) -> None:
    """All results are on disk and every process has stopped.

    Called once per run by the runner, also if the run failed or was interrupted.

    Must not: change the run, print, or take long.

    Example::

        from tokenbench.api import hookimpl

        @hookimpl
        def bench_run_finished(event):
            worked = event.exit_code == 0
    """
