"""One deployment of a run: its server, its points, its evals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs

from tokenbench.api import (
    DeploymentReady,
    EngineError,
    EngineRequest,
    FrozenMap,
    Interrupted,
    LaunchPlan,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    Target,
    Tokenizer,
)
from tokenbench.guard.members import owner_text
from tokenbench.launch.settings import LaunchSettings
from tokenbench.load.generate import generate
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.plan.evals import simulates
from tokenbench.plan.launch_inputs import named_weights
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plan.series import PlannedPoint, PlannedSeries
from tokenbench.plan.traffic import check_traffic
from tokenbench.telemetry.doctor import device_problems

from .context import RunContext
from .device_facts import below_limit
from .evals import ask_evals, set_accuracy
from .host_devices import devices_of
from .interruptible import interruptible
from .point import PointContext, measure_point
from .progress import Step
from .prompt_fit import Fitting
from .prompts import Traffic, traffic
from .provenance import host_facts, model_facts, plugin_facts
from .running_server import RunningServer
from .search import record_search
from .telemetry import measure_idle, start_telemetry
from .tokenizer import tokenizer_of
from .weights import locate

# Draining takes about as long as one request; the ETA adds this share of a phase.
_DRAIN_SHARE = 0.25


class DeploymentRun:
    """Runs one deployment. Adds each result to the run's context at once."""

    def __init__(self, context: RunContext, deployment: PlannedDeployment) -> None:
        self._run = context
        self._deployment = deployment
        # The measured server stalled and was not restarted.
        self._stalled = False

    def run(self) -> None:
        """Start the server, measure its points, run its evals, stop it."""
        deployment = self._deployment
        fixes = deployment.probe.fixes
        for problem in device_problems(deployment.devices, deployment.hardware.name, fixes):
            self._run.note(f"before the run: {problem.what}; to fix: {problem.fix}")
            self._run.display.note(f"warning: {problem.what}", fix=problem.fix)
        weights = self._weights(deployment)
        try:
            self._measure_and_ask(weights)
        finally:  # Verdicts of earlier evals count even if a later one failed.
            set_accuracy(self._run, deployment)

    def _measure_and_ask(self, weights: str | None) -> None:
        deployment, kept = self._deployment, self._run.kept
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

    def _check_traffic(self, series: list[PlannedSeries], tokenizer: Tokenizer | None) -> None:
        """Make the first session of each workload: an error is found before the engine starts."""
        request, plugins = self._deployment.request, self._run.plugins
        engine = plugins.engine(self._deployment.asked.engine)
        check_traffic(
            plugins,
            [plugins.workload(one.workload) for one in series],
            Target(model=request.served_name, dialect=engine.dialect(request)),
            tokenizer,
            request.needs.context_tokens,
            objectives=self._run.plan.resolved.load.objectives,
        )

    def _weights(self, deployment: PlannedDeployment) -> str | None:
        weights = deployment.request.weights
        return None if weights is None else locate(weights)

    @staticmethod
    def _extra_weights(request: EngineRequest, launch: LaunchPlan) -> FrozenMap[str]:
        return FrozenMap(
            {name: locate(request.weights_named(name)) for name in named_weights(launch)}
        )

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
            launcher=self._run.plugins.launcher(asked.launcher),
            settings=LaunchSettings(
                logs=logs,
                weights=weights,
                extra_weights=self._extra_weights(request, launch),
                port=asked.port,
                cpus=self._run.plan.cores.engine,
                devices=lambda agent: devices_of(self._run, deployment, agent),
            ),
            codec=self._run.plugins.codec,
            interrupted=self._run.interrupted,
            show=self._run.display.note,
            show_phase=self._run.display.starting,
            # An engine that runs workers of another one, such as Dynamo, does not mark its version.
            mark="synthetic acceptance" if simulates(launch, asked, self._run.plugins) else "",
        )
        self._run.display.note(
            "starting the server", engine=asked.engine.name, kind=kind or "measured"
        )
        stack.callback(server.stop)
        server.start()
        self._record(deployment, request, server)
        return server

    def _record(
        self, deployment: PlannedDeployment, request: EngineRequest, server: RunningServer
    ) -> None:
        """Record the running server's version, facts and notes, and notify observers."""
        asked = deployment.asked
        self._run.facts[f"deployment.{deployment.id}.engine_version"] = server.version or "unknown"
        facts = dict(server.facts)
        if asked.model is not None:
            facts |= model_facts(self._run.plugins.model(asked.model), request)
        for key, value in facts.items():
            self._run.facts[f"deployment.{deployment.id}.{key}"] = value
        self._run.facts.update(plugin_facts(self._run.plugins.registry.loaded))
        self._run.facts.update(host_facts(server.deployment.other_hosts))
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
        telemetry = start_telemetry(self._run, deployment, server)
        stack.callback(telemetry.close)
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
            watched_cores=self._watched_cores(server),
            below_limit=below_limit(telemetry.devices),
            idle_power=measure_idle(self._run, telemetry),
        )
        for series in left:
            self._restart_if_stalled(server)
            made = traffic(
                self._run.plugins.workload(series.workload),
                server.dialect,
                tokenizer,
                deployment.request.needs.context_tokens,
                self._fitting(server),
                self._run.plugins.codec,
            )
            if made.context.fitted is not None:
                key = f"deployment.{deployment.id}.prompts.{series.workload.name}"
                self._run.facts[key] = made.context.fitted.describe()
                self._run.directory.write_json("provenance.json", self._run.facts)
            own = attrs.evolve(
                context,
                codec_module=self._run.plugins.codec_module(made.codec),
                codec_owner=owner_text(self._run.plugins.codec(made.codec)),
            )
            self._measure(own, series, made)
            for source, why in telemetry.problems.items():
                self._run.note(f"{source}: samples are missing: {why}")

    def _fitting(self, server: RunningServer) -> Fitting:
        load = self._run.plan.resolved.load
        return Fitting(
            send=lambda codec, turn: interruptible(
                lambda: generate(
                    server.url,
                    self._run.plugins.codec(codec),
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

    def _watched_cores(self, server: RunningServer) -> tuple[int, ...]:
        """Cores on which other programs would disturb the client or a local engine."""
        cores = self._run.plan.cores
        engine = cores.engine if server.deployment.pids else ()
        return tuple(sorted({*cores.workers, *engine}))

    def _measure(
        self,
        context: PointContext,
        series: PlannedSeries,
        made: Traffic,
    ) -> None:
        """Measure the points of a series. Its load plan chooses each level from earlier results."""
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
            context.telemetry.check()
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
        context.telemetry.check()
        record_search(self._run, context.deployment.id, series, history)

    def _restart_if_stalled(self, server: RunningServer) -> None:
        """Restart the server if it stalled; called only when it is needed again."""
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
        """Seconds left for this and later points; None if any point has no duration."""
        points = [p for d in self._run.plan.deployments for p in d.points][self._run.number - 1 :]
        if any(point.stop.duration_s is None for point in points):
            return None
        repeats = [point.repeats.at_least for point in points]
        if repeats and phase.startswith("repeat"):
            done = int(phase.split()[1].partition("/")[0]) - 1
            repeats[0] = max(1, repeats[0] - done)  # At least the current one.
        return sum(
            n * (p.stop.duration_s or 0.0) * (1 + _DRAIN_SHARE)
            for n, p in zip(repeats, points, strict=True)
        )
