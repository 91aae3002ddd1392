"""One deployment of a run: its server, its points, its evals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs

from tokenbench.api import (
    Accuracy,
    Codec,
    DeploymentReady,
    EngineError,
    EngineRequest,
    EvalFinished,
    EvalOutcome,
    Interrupted,
    LauncherContext,
    LaunchPlan,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    Probe,
    Tokenizer,
)
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import generate
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedDeployment, PlannedEval
from tokenbench.plan.series import PlannedPoint, PlannedSeries
from tokenbench.store.results import rewrite_results
from tokenbench.telemetry.collect import Telemetry

from .context import RunContext
from .evaluate import run_eval
from .point import PointContext, engine_died, measure_point
from .progress import Step
from .prompt_fit import Fitting
from .prompts import Traffic, traffic
from .provenance import plugin_facts
from .running_server import RunningServer
from .search import tell_search
from .weights import locate

# Draining takes about as long as one request; the ETA adds this share of a phase.
_DRAIN_SHARE = 0.25


class DeploymentRun:
    """Runs one deployment; results go into the run's context as they come."""

    def __init__(self, context: RunContext, deployment: PlannedDeployment) -> None:
        self._run = context
        self._deployment = deployment

    def run(self) -> None:
        """Start the server, measure its points, run its evals, stop it."""
        deployment = self._deployment
        weights = self._weights(deployment)
        with contextlib.ExitStack() as stack:
            workers = WorkerGroup(
                cpus=self._run.plan.cores.workers, logs=self._run.directory.logs(deployment.id)
            )
            stack.callback(workers.close)
            server = self._serve(stack, deployment, deployment.request, deployment.launch, weights)
            telemetry = self._telemetry(stack, deployment)
            self._points(stack, deployment, server, workers, telemetry, weights)
            own = [planned for planned in deployment.evals if planned.twin is None]
            self._ask(deployment, own, server)
        for planned in deployment.evals:
            if planned.twin is not None:
                with contextlib.ExitStack() as stack:
                    twin = self._serve(
                        stack,
                        deployment,
                        planned.twin.request,
                        planned.twin.launch,
                        weights,
                        "twin",
                    )
                    self._ask(deployment, [planned], twin)
        self._set_accuracy(deployment)

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
        return find_codec(name, self._run.plugins.codec_module(name))

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
        )
        stack.callback(telemetry.close)
        return telemetry

    # -- points ----------------------------------------------------------------------------------

    def _points(
        self,
        stack: contextlib.ExitStack,
        deployment: PlannedDeployment,
        server: RunningServer,
        workers: WorkerGroup,
        telemetry: Telemetry | None,
        weights: str | None,
    ) -> None:
        tokenizer = self._tokenizer(deployment, weights)
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
        for series in deployment.series:
            made = traffic(
                self._run.plugins.workload(series.workload),
                server.dialect,
                tokenizer,
                deployment.request.needs.context_tokens,
                self._fitting(server),
            )
            plugin = self._run.plugins.codec_module(made.codec)
            self._measure(attrs.evolve(context, codec_module=plugin), series, made)

    def _fitting(self, server: RunningServer) -> Fitting:
        load = self._run.plan.resolved.load
        return Fitting(
            send=lambda codec, turn: generate(
                server.url,
                self._codec(codec),
                turn,
                server.target(),
                server.control.api_key,
                timeout_s=min(load.request.request_timeout_s, load.request.stall_timeout_s),
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
        restarted = False
        while (level := series.load.levels.next(history)) is not None:
            point = series.point(level)
            self._run.number += 1
            self._run.observers.tell(
                PointStarted(
                    run=self._run.directory.id, deployment=context.deployment.id, point=point.id
                )
            )
            result = measure_point(context, point, made, self._step(context))
            history.append(result)
            self._keep(result)
            died = engine_died(result, self._run.directory.logs(context.deployment.id))
            if died is not None:
                raise died
            if result.state is PointState.INTERRUPTED:
                raise Interrupted("interrupted by the user", hint="what was measured is kept")
            if result.state is PointState.STALLED:
                if restarted:
                    raise EngineError(
                        f"the server stalled again: {result.error}",
                        hint="see its log; raise load.stall_timeout_s if it is only slow",
                        log=self._run.directory.logs(context.deployment.id),
                    )
                restarted = True
                self._run.display.note("the server stalled; restarting it once")
                self._run.note(f"{context.deployment.id}: restarted once after a stall")
                context.server.stop()
                context.server.start()
        tell_search(self._run, context.deployment.id, series, history)

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

    def _tokenizer(self, deployment: PlannedDeployment, weights: str | None) -> Tokenizer | None:
        """The tokenizer that the engine's options name; else the model's."""
        named = self._run.plugins.engine(deployment.asked.engine).tokenizer()
        if named is not None:
            return named
        name = deployment.asked.model
        model = self._run.plugins.model(name) if name is not None else None
        if model is None or model.tokenizer is None:
            return None
        if weights is None:
            weights = next((locate(w) for w in model.weights), "")
        return model.tokenizer(weights)

    # -- evals -----------------------------------------------------------------------------------

    def _ask(
        self, deployment: PlannedDeployment, evals: list[PlannedEval], server: RunningServer
    ) -> None:
        for planned in evals:
            if self._run.interrupted():
                raise Interrupted("interrupted by the user", hint="what was measured is kept")
            name = planned.name
            folder = self._run.directory.evals(deployment.id, name)
            outcome = run_eval(
                planned,
                plugins=self._run.plugins,
                server=server,
                deployment=deployment.id,
                folder=folder,
                seed=self._run.plan.resolved.seed,
                cpus=self._run.plan.cores.workers,
                on_asked=lambda done, total, name=name: self._run.display.asked(name, done, total),  # type: ignore[misc]
                interrupted=self._run.interrupted,
            )
            where = folder.relative_to(self._run.directory.path)
            self._run.directory.write_json(str(where / "outcome.json"), plain(outcome))
            self._run.evals.append(outcome)
            self._run.display.outcome(outcome)
            self._run.observers.tell(EvalFinished(run=self._run.directory.id, outcome=outcome))

    def _set_accuracy(self, deployment: PlannedDeployment) -> None:
        """Set the accuracy verdict of every point of the deployment, and rewrite the results."""
        evals = tuple(e for e in self._run.evals if e.deployment == deployment.id)
        if not evals:
            return
        accuracy = worst_accuracy(evals)
        self._run.results = [
            attrs.evolve(result, accuracy=accuracy, evals=evals)
            if result.deployment == deployment.id
            else result
            for result in self._run.results
        ]
        rewrite_results(self._run.directory.results, self._run.results)


def worst_accuracy(evals: tuple[EvalOutcome, ...]) -> Accuracy:
    """The verdict over several evals: the worst one."""
    found = {outcome.accuracy for outcome in evals}
    for verdict in (Accuracy.FAIL, Accuracy.UNDECIDED, Accuracy.PASS):
        if verdict in found:
            return verdict
    return Accuracy.NOT_RUN


def _power_limited(probe: Probe) -> bool | None:
    """Whether a board's power limit is below its default; None if unknown."""
    limits = [
        (device.power_limit_w, device.default_power_limit_w)
        for device in probe.devices
        if device.power_limit_w is not None and device.default_power_limit_w is not None
    ]
    return any(limit < default for limit, default in limits) if limits else None
