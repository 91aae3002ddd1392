"""All hooks; each call is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Artifact,
    CodecSpec,
    EngineCapabilities,
    EngineSpec,
    EvalSpec,
    FileSpec,
    FrozenMap,
    HardwareSpec,
    LauncherSpec,
    LaunchPlan,
    ModelSpec,
    PluginContext,
    ProcessSpec,
    Reporter,
    ReporterSpec,
    UsageError,
    View,
    Weights,
    WorkloadSpec,
    hookimpl,
    option,
    options,
)

from .asking import EvalOptions, RecordingEval, RecordingWorkload, Talk, Words, WorkloadOptions
from .faults import install
from .machine import HardwareOptions, RecordingHardware
from .notes import note
from .serving import (
    EngineOptions,
    GarbageCodec,
    LauncherOptions,
    LinesCodec,
    RecordingEngine,
    RecordingLauncher,
)

FAILING = "RECORDING_FAILS"
AMENDING = "RECORDING_AMENDS"


def _registered(hook: str, *specs: Any) -> Sequence[Any]:
    note(hook)
    if os.environ.get(FAILING) == hook:
        raise RuntimeError("failed on purpose")
    return specs


@options
class ReporterOptions:
    """Faults of the reporter."""

    fails: bool = option(default=False, help="raises after the first artifact")


class RecordingReporter(Reporter):
    """A file and a printed line."""

    def __init__(self, options: ReporterOptions, context: PluginContext) -> None:
        self._fails = options.fails

    def render(self, view: View) -> Iterator[Artifact]:
        note(
            "Reporter.render",
            runs=[(run.id, run.state, len(run.results), len(run.evals)) for run in view.runs],
            definitions=[definition.name for definition in view.definitions],
            color=view.color,
        )
        yield Artifact(content=b"a line\n")
        if self._fails:
            raise RuntimeError("failed on purpose")
        yield Artifact(content=b"a page", name="../page.txt")


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    able = EngineCapabilities(weight_formats=("recorded",), counters=True, reset_cache=True)
    bare = EngineCapabilities(weight_formats=("recorded",))
    slow = EngineCapabilities(weight_formats=("recorded",), control_timeout_s=20.0)
    kinds = {"recording": able, "recording-bare": bare, "recording-slow": slow}
    return _registered(
        "bench_register_engines",
        *(
            EngineSpec(
                name=name,
                summary="records its calls",
                options=EngineOptions,
                factory=lambda options, _: RecordingEngine(options),
                capabilities=capabilities,
            )
            for name, capabilities in kinds.items()
        ),
    )


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    return _registered(
        "bench_register_hardware",
        HardwareSpec(
            name="recording", summary="", options=HardwareOptions, factory=RecordingHardware
        ),
    )


@hookimpl
def bench_register_models() -> Sequence[ModelSpec]:
    weights = Weights(precision="w1", format="recorded", source="hub:rec/weights", revision="1")
    return _registered(
        "bench_register_models",
        ModelSpec(name="recording", summary="", weights=(weights,), tokenizer=Words),
    )


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    return _registered(
        "bench_register_workloads",
        WorkloadSpec(
            name="recording", summary="", options=WorkloadOptions, factory=RecordingWorkload
        ),
    )


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    spec = EvalSpec(name="recording", summary="", options=EvalOptions, factory=RecordingEval)
    return _registered("bench_register_evals", spec)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    return _registered(
        "bench_register_reporters",
        ReporterSpec(
            name="recording", summary="", options=ReporterOptions, factory=RecordingReporter
        ),
    )


@hookimpl
def bench_register_launchers() -> Sequence[LauncherSpec]:
    return _registered(
        "bench_register_launchers",
        LauncherSpec(
            name="recording",
            summary="",
            options=LauncherOptions,
            factory=RecordingLauncher,
            this_machine=True,
        ),
    )


@hookimpl
def bench_register_codecs() -> Sequence[CodecSpec]:
    codecs = (LinesCodec, GarbageCodec)
    return _registered(
        "bench_register_codecs",
        *(CodecSpec(name=c.name, summary="", factory=lambda *_, c=c: c()) for c in codecs),
    )


@options
class UseOptions:
    """Options of the amendment and the observers."""

    word: str = option(default="none", help="noted by each hook")


@hookimpl
def bench_use_options() -> type[UseOptions]:
    note("bench_use_options")
    return UseOptions


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: UseOptions
) -> Amendment | None:
    note(
        "bench_amend_launch",
        engine=request.engine,
        request=request.request,
        plan=plan,
        word=options.word,
    )
    how = os.environ.get(AMENDING)
    if how == "fails":
        raise RuntimeError("failed on purpose")
    if how == "rejects":
        raise UsageError("rejected on purpose", hint="leave it out")
    if how is None:
        return None
    return Amendment(
        reason="everything at once",
        flags=FrozenMap({"server": FrozenMap({"--ttft-s": 0.003, "--itl-s": 0.002})}),
        environment=FrozenMap({"server": FrozenMap({"AMENDED": "1"})}),
        files=FrozenMap({"server": (FileSpec(name="amended.json", content="{}"),)}),
        processes=(ProcessSpec(role="helper", argv=("sleep", "60"), ports=()),),
        mounts=("/opt/amended",),
        devices=("/dev/amended",),
    )


def _observed(hook: str, event: Any) -> None:
    note(hook, event=event)
    if os.environ.get(FAILING) == hook:
        raise RuntimeError("failed on purpose")


@hookimpl
def bench_run_started(event: Any, options: UseOptions) -> None:
    note("options", word=options.word)
    _observed("bench_run_started", event)


@hookimpl
def bench_deployment_ready(event: Any) -> None:
    _observed("bench_deployment_ready", event)


@hookimpl
def bench_point_started(event: Any) -> None:
    _observed("bench_point_started", event)


@hookimpl
def bench_point_finished(event: Any) -> None:
    _observed("bench_point_finished", event)


@hookimpl
def bench_eval_finished(event: Any) -> None:
    _observed("bench_eval_finished", event)


@hookimpl
def bench_run_finished(event: Any) -> None:
    _observed("bench_run_finished", event)


install(
    globals(),
    {
        "Codec": LinesCodec,
        "Engine": RecordingEngine,
        "EngineOptions": EngineOptions,
        "Eval": RecordingEval,
        "Hardware": RecordingHardware,
        "Launcher": RecordingLauncher,
        "Reporter": RecordingReporter,
        "Session": Talk,
        "Tokenizer": Words,
        "Workload": RecordingWorkload,
    },
    elsewhere=("Node", "NodeSampler"),
)
