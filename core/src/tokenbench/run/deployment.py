"""One deployment of a run: its server, its points, its evals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs

from tokenbench.api import (
    Codec,
    DeploymentReady,
    EngineError,
    EngineRequest,
    Interrupted,
    LauncherContext,
    LaunchPlan,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    Probe,
    Target,
    Tokenizer,
)
from tokenbench.guard.members import owner_text
from tokenbench.load.generate import generate
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plan.series import PlannedPoint, PlannedSeries
from tokenbench.plan.traffic import check_traffic
from tokenbench.telemetry.collect import Telemetry

from .context import RunContext
from .evals import ask_evals, set_accuracy
from .interruptible import interruptible
from .point import PointContext, measure_point
from .progress import Step
from .prompt_fit import Fitting
from .prompts import Traffic, traffic
from .provenance import plugin_facts
from .running_server import RunningServer
from .search import tell_search
from .tokenizer import tokenizer_of
from .weights import locate

# Draining takes about as long as one request; the ETA adds this share of a phase.
_DRAIN_SHARE = 0.25


class DeploymentRun:
    """Runs one deployment; results go into the run's context as they come."""

    def __init__(self, context: RunContext, deployment: PlannedDeployment) -> None:
        self._run = context
        self._deployment = deployment
        # The measured server stalled, and was not restarted since.
        self._stalled = False

    def run(self) -> None:
        """Start the server, measure its points, run its evals, stop it."""
        deployment, kept = self._deployment, self._run.kept
        weights = self._weights(deployment)
        series = [one for one in deployment.series if kept.unfinished(one)]
        own = kept.unanswered(deployment, twin=False)
        tokenizer = tokenizer_of(deployment, weights, self._run.plugins) if series else None
        self._check_traffic(series, tokenizer)
        if series or own:
            with contextlib.ExitStack() as stack:
                server = self._serve(
                    stack, deployment, deployment.request, deployment.launch, weights
                )
                if series:
                    self._points(stack, series, server, tokenizer)
                if own:
                    self._restart_if_stalled(server)
                    ask_evals(self._run, deployment, own, server)
        for planned in kept.unanswered(deployment, twin=True):
            assert planned.twin is not None
            with contextlib.ExitStack() as stack:
                request, launch = planned.twin.request, planned.twin.launch
                twin = self._serve(stack, deployment, request, launch, weights, "twin")
                ask_evals(self._run, deployment, [planned], twin)
        set_accuracy(self._run, deployment)

    def _check_traffic(self, series: list[PlannedSeries], tokenizer: Tokenizer | None) -> None:
        """Make the first session of each workload, before the engine is started in vain."""
        request, plugins = self._deployment.request, self._run.plugins
        engine = plugins.engine(self._deployment.asked.engine)
        check_traffic(
            plugins,
            [plugins.workload(one.workload) for one in series],
            Target(model=request.served_name, dialect=engine.dialect(request)),
            tokenizer,
            request.needs.context_tokens,
        )

    def _weights(self, deployment: PlannedDeployment) -> str | None:
        weights = deployment.request.weights
        return None if weights is None else locate(weights)

    def _serve(
        self,
        stack: contextlib.ExitStack,
        deployment: PlannedDeployment,
        request: EngineRequest,
        launch: LaunchPlan,
        weights: str | None,
        kind: str = "",
    ) -> RunningServer:
        logs = self._run.directory.logs(f"{deployment.id}{'-' + kind if kind else ''}")
        asked = deployment.asked
        server = RunningServer(
            spec=self._run.plugins.spec("engine", asked.engine.key),
            engine=self._run.plugins.engine(asked.engine),
            request=request,
            plan=launch,
            launcher=self._run.plugins.launcher(
                asked.launcher,
                LauncherContext(
                    logs=logs,
                    weights=weights,
                    port=asked.port,
                    cpus=self._run.plan.cores.engine,
                    devices=tuple(d.handle or str(d.index) for d in deployment.devices),
                ),
            ),
            codec=self._codec,
            interrupted=self._run.interrupted,
            log_folder=logs,
            show=self._run.display.note,
        )
        self._run.display.note(
            "starting the server", engine=asked.engine.name, kind=kind or "measured"
        )
        stack.callback(server.stop)
        server.start()
        self._run.facts[f"deployment.{deployment.id}.engine_version"] = server.version or "unknown"
        for key, value in server.facts.items():
            self._run.facts[f"deployment.{deployment.id}.{key}"] = value
        self._run.facts.update(plugin_facts(self._run.plugins.registry.loaded))
        self._run.directory.write_json("provenance.json", self._run.facts)
        for note in server.notes:
            self._run.note(f"{deployment.label}: {note}")
            self._run.display.note(note)
        self._run.display.note("the server is ready", seconds=round(server.start_s, 2))
        self._run.observers.tell(
            DeploymentReady(
                run=self._run.directory.id,
                deployment=deployment.id,
                engine=asked.engine.name,
                engine_version=server.version,
                endpoints=server.deployment.endpoints,
                start_s=server.start_s,
            )
        )
        return server

    def _codec(self, name: str) -> Codec:
        return self._run.plugins.codec(name)

    def _telemetry(
        self, stack: contextlib.ExitStack, deployment: PlannedDeployment
    ) -> Telemetry | None:
        ref = deployment.hardware
        probe = deployment.probe
        for field, why in probe.notes.items():
            self._run.facts[f"not_measured.{ref.name}.{field}"] = why
        # Reports have columns for power and energy only, so only those are explained there.
        missing = {f: probe.notes[f] for f in ("power_w", "energy_j") if f in probe.notes}
        for why in dict.fromkeys(missing.values()):
            fields = " and ".join(field for field, text in missing.items() if text == why)
            self._run.note(f"{ref.name}: {fields} not measured: {why}")
        telemetry = Telemetry(
            module=self._run.plugins.module("hardware", ref.key),
            name=ref.name,
            options=dict(ref.options),
            devices=tuple(device.index for device in deployment.devices),
            folder=self._run.directory.telemetry(deployment.id),
            host="localhost",
            role="server",
            cpus=self._run.plan.cores.workers,
            owner=self._run.plugins.owner("hardware", ref.key),
        )
        stack.callback(telemetry.close)
        return telemetry

    # -- points ----------------------------------------------------------------------------------

    def _points(
        self,
        stack: contextlib.ExitStack,
        left: list[PlannedSeries],
        server: RunningServer,
        tokenizer: Tokenizer | None,
    ) -> None:
        deployment = self._deployment
        workers = WorkerGroup(
            cpus=self._run.plan.cores.workers, logs=self._run.directory.logs(deployment.id)
        )
        stack.callback(workers.close)
        telemetry = self._telemetry(stack, deployment)
        resolved = self._run.plan.resolved
        context = PointContext(
            directory=self._run.directory,
            deployment=deployment,
            server=server,
            workers=workers,
            telemetry=telemetry,
            display=self._run.display,
            note=self._run.note,
            interrupted=self._run.interrupted,
            run_seed=resolved.seed,
            load=resolved.load,
            thresholds=resolved.thresholds,
            watched_cores=self._watched_cores(deployment),
            power_limited=_power_limited(deployment.probe),
        )
        for series in left:
            self._restart_if_stalled(server)
            made = traffic(
                self._run.plugins.workload(series.workload),
                server.dialect,
                tokenizer,
                deployment.request.needs.context_tokens,
                self._fitting(server),
            )
            if made.context.fitted is not None:
                key = f"deployment.{deployment.id}.prompts.{series.workload.name}"
                self._run.facts[key] = made.context.fitted.describe()
                self._run.directory.write_json("provenance.json", self._run.facts)
            own = attrs.evolve(
                context,
                codec_module=self._run.plugins.codec_module(made.codec),
                codec_owner=owner_text(self._codec(made.codec)),
            )
            self._measure(own, series, made)
            if telemetry is not None and telemetry.killed is not None:
                name = deployment.hardware.name
                self._run.note(f"{name}: no samples from some moment on: {telemetry.killed}")

    def _fitting(self, server: RunningServer) -> Fitting:
        load = self._run.plan.resolved.load
        return Fitting(
            send=lambda codec, turn: interruptible(
                lambda: generate(
                    server.url,
                    self._codec(codec),
                    turn,
                    server.target(),
                    server.control.api_key,
                    timeout_s=min(load.request.request_timeout_s, load.request.stall_timeout_s),
                    access=server.plan.access,
                ),
                self._run.interrupted,
            ),
            post=server.control.post,
            model=server.target().model,
            approximate=load.request.lengths == "approximate",
            interrupted=self._run.interrupted,
        )

    def _watched_cores(self, deployment: PlannedDeployment) -> tuple[int, ...]:
        """Cores on which other programs disturb a measurement: the client's, a local engine's."""
        cores = self._run.plan.cores
        engine = cores.engine if deployment.launch.processes else ()
        return tuple(sorted({*cores.workers, *engine}))

    def _measure(
        self,
        context: PointContext,
        series: PlannedSeries,
        made: Traffic,
    ) -> None:
        """The one loop: the load plan chooses the next level from the results so far."""
        history: list[PointResult] = []
        stalls = 0
        while (level := series.load.levels.next(history)) is not None:
            point = series.point(level)
            self._run.number += 1
            kept = self._run.kept.points.get(point.id)
            if kept is not None:
                history.append(kept)
                continue
            self._restart_if_stalled(context.server)
            self._run.observers.tell(
                PointStarted(
                    run=self._run.directory.id, deployment=context.deployment.id, point=point.id
                )
            )
            _check(context.telemetry)
            result, end = measure_point(context, point, made, self._step(context))
            history.append(result)
            self._keep(result)
            if end.error is not None:
                if end.ends_run:
                    raise end.error
                self._run.failures.append(end.error)
            if result.state is PointState.INTERRUPTED:
                raise Interrupted("interrupted by the user", hint="what was measured is kept")
            if result.state is PointState.STALLED:
                self._stalled = True
                stalls += 1
                if stalls > 1:
                    raise EngineError(
                        f"the server stalled again: {result.error}",
                        hint="see its log; raise load.stall_timeout_s if it is only slow",
                        log=self._run.directory.logs(context.deployment.id),
                    )
        _check(context.telemetry)
        tell_search(self._run, context.deployment.id, series, history)

    def _restart_if_stalled(self, server: RunningServer) -> None:
        """Restart the server after a stall, now that it is needed again."""
        if not self._stalled:
            return
        self._run.display.note("the server stalled; restarting it once")
        self._run.note(f"{self._deployment.id}: restarted once after a stall")
        server.stop()
        server.start()
        self._stalled = False

    def _keep(self, result: PointResult) -> None:
        self._run.keep(result)
        self._run.observers.tell(PointFinished(run=self._run.directory.id, result=result))

    def _step(self, context: PointContext) -> Callable[[str, PlannedPoint], Step]:
        def step(phase: str, point: PlannedPoint) -> Step:
            return Step(
                deployment=context.deployment.label,
                label=f"{point.workload.name} {point.level.label}",
                number=self._run.number,
                points=self._run.plan.points,
                phase=phase,
                expected_s=point.stop.duration_s,
                expected_turns=point.stop.requests,
                left_s=self._left_s(phase),
            )

        return step

    def _left_s(self, phase: str) -> float | None:
        """Seconds left for this and later points; None if one is not limited by time."""
        points = [p for d in self._run.plan.deployments for p in d.points][self._run.number - 1 :]
        if any(point.stop.duration_s is None for point in points):
            return None
        repeats = [point.repeats.at_least for point in points]
        if repeats and phase.startswith("repeat"):
            done = int(phase.split()[1].partition("/")[0]) - 1
            repeats[0] = max(1, repeats[0] - done)  # Beyond at_least, this one.
        return sum(
            n * (p.stop.duration_s or 0.0) * (1 + _DRAIN_SHARE)
            for n, p in zip(repeats, points, strict=True)
        )


def _power_limited(probe: Probe) -> bool | None:
    """Whether a board's power limit is below its default; None if unknown."""
    limits = [
        (device.power_limit_w, device.default_power_limit_w)
        for device in probe.devices
        if device.power_limit_w is not None and device.default_power_limit_w is not None
    ]
    return any(limit < default for limit, default in limits) if limits else None


def _check(telemetry: Telemetry | None) -> None:
    if telemetry is not None:
        telemetry.check()
