"""The whole run: deployments one after the other, their points, their evals, the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import attrs

from tokenbench.api import (
    Accuracy,
    BenchError,
    Codec,
    DeploymentReady,
    EngineError,
    EngineRequest,
    EvalFinished,
    EvalOutcome,
    FixedLoadPlan,
    Interrupted,
    LaunchPlan,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    Probe,
    RunFinished,
    RunStarted,
    Tokenizer,
)
from tokenbench.launch.local import LocalLauncher
from tokenbench.load.client import LoadWorker
from tokenbench.load.codecs import find_codec
from tokenbench.plan.canonical import plain
from tokenbench.plan.catalog import Catalog
from tokenbench.plan.model import Plan, PlannedDeployment, PlannedEval, PlannedPoint
from tokenbench.store.layout import RunDirectory, now
from tokenbench.store.results import append_result, rewrite_results, write_table
from tokenbench.telemetry.collect import Telemetry

from .cores import Cores, split
from .evaluate import run_eval
from .observers import Observers
from .point import Bench, engine_died, measure_point
from .prompts import Traffic, traffic
from .serving import Serving
from .sink import Sink, Step
from .weights import locate

# A phase drains for about as long as a request takes; the ETA adds this share of its length.
_DRAIN_SHARE = 0.25


@attrs.frozen(kw_only=True)
class Outcome:
    """What a run came to. `error` ended it early."""

    state: str
    results: tuple[PointResult, ...]
    evals: tuple[EvalOutcome, ...]
    error: BenchError | None


class Runner:
    """Runs a plan into a directory."""

    def __init__(
        self,
        plan: Plan,
        catalog: Catalog,
        directory: RunDirectory,
        sink: Sink,
        *,
        interrupted: Callable[[], bool],
        facts: dict[str, str],
    ) -> None:
        self._plan = plan
        self._catalog = catalog
        self._directory = directory
        self._sink = sink
        self._interrupted = interrupted
        self._facts = facts
        self._cores: Cores = split()
        self._observers = Observers(catalog.host)
        self._results: list[PointResult] = []
        self._evals: list[EvalOutcome] = []
        self._notes: list[str] = []
        self._started = now()
        self._number = 0

    def run(self) -> Outcome:
        """Run all, keep all; an error ends the run but loses nothing."""
        directory, suite = self._directory, self._plan.suite
        directory.write_json("suite.json", plain(suite))
        directory.write_json("plan.json", plain(self._plan))
        directory.write_json("provenance.json", self._facts)
        self._write_state("running", None)
        self._tell_start()
        error: BenchError | None = None
        try:
            for deployment in self._plan.deployments:
                self._deployment(deployment)
        except Interrupted as interruption:
            error = interruption
        except BenchError as failure:
            error = failure
        if error is None and self._interrupted():
            error = Interrupted("interrupted by the user", hint="what was measured is kept")
        state = "complete" if error is None else "failed"
        state = "interrupted" if isinstance(error, Interrupted) else state
        self._finish(state, error)
        return Outcome(
            state=state, results=tuple(self._results), evals=tuple(self._evals), error=error
        )

    # -- a deployment ----------------------------------------------------------------------------

    def _deployment(self, deployment: PlannedDeployment) -> None:
        weights = self._weights(deployment)
        with contextlib.ExitStack() as stack:
            worker = LoadWorker(
                cpus=self._cores.client,
                log=self._directory.logs(deployment.id) / "load-worker.log",
            )
            stack.callback(worker.close)
            serving = self._serve(stack, deployment, deployment.request, deployment.launch, weights)
            telemetry = self._telemetry(stack, deployment)
            self._points(stack, deployment, serving, worker, telemetry, weights)
            own = [planned for planned in deployment.evals if planned.twin is None]
            self._ask(deployment, own, serving)
        for planned in deployment.evals:
            if planned.twin is not None and planned.twin_request is not None:
                with contextlib.ExitStack() as stack:
                    twin = self._serve(
                        stack, deployment, planned.twin_request, planned.twin, weights, "twin"
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
    ) -> Serving:
        logs = self._directory.logs(f"{deployment.id}{'-' + kind if kind else ''}")
        asked = deployment.asked
        serving = Serving(
            spec=self._catalog.spec("engine", asked.engine.name),
            engine=self._catalog.engine(asked.engine),
            request=request,
            plan=launch,
            launcher=LocalLauncher(
                cpus=self._cores.engine,
                devices=tuple(range(request.hardware.count)),
                logs=logs,
                weights=weights,
                port=asked.port,
            ),
            codec=self._codec(deployment),
            interrupted=self._interrupted,
            log_folder=logs,
        )
        self._sink.note("starting the server", engine=asked.engine.name, kind=kind or "measured")
        stack.callback(serving.stop)
        serving.start()
        self._facts[f"deployment.{deployment.id}.engine_version"] = serving.version or "unknown"
        for key, value in serving.facts.items():
            self._facts[f"deployment.{deployment.id}.{key}"] = value
        self._directory.write_json("provenance.json", self._facts)
        self._sink.note("the server is ready", seconds=round(serving.start_s, 2))
        self._observers.tell(
            DeploymentReady(
                run=self._directory.id,
                deployment=deployment.id,
                engine=asked.engine.name,
                engine_version=serving.version,
                endpoints=serving.deployment.endpoints,
                start_s=serving.start_s,
            )
        )
        return serving

    def _codec_plugin(self, deployment: PlannedDeployment) -> str:
        return self._catalog.host.candidate("engine", deployment.asked.engine.name).module

    def _codec(self, deployment: PlannedDeployment) -> Callable[[str], Codec]:
        module = self._codec_plugin(deployment)

        def find(name: str) -> Codec:
            try:
                return find_codec(name, None)
            except BenchError:
                return find_codec(name, module)

        return find

    def _telemetry(
        self, stack: contextlib.ExitStack, deployment: PlannedDeployment
    ) -> Telemetry | None:
        chosen = deployment.asked.hardware
        hardware = self._catalog.hardware(chosen)
        probe = hardware.probe()
        for why in dict.fromkeys(probe.notes.values()):
            fields = " and ".join(field for field, text in probe.notes.items() if text == why)
            note = f"{chosen.name}: {fields} not measured: {why}"
            if note not in self._notes:
                self._notes.append(note)
        telemetry = Telemetry(
            module=self._catalog.host.candidate("hardware", chosen.name).module,
            name=chosen.name,
            devices=tuple(range(deployment.request.hardware.count)),
            folder=self._directory.telemetry(deployment.id),
            host="localhost",
            role="server",
            cpus=self._cores.client,
        )
        stack.callback(telemetry.close)
        return telemetry

    # -- points ----------------------------------------------------------------------------------

    def _points(
        self,
        stack: contextlib.ExitStack,
        deployment: PlannedDeployment,
        serving: Serving,
        worker: LoadWorker,
        telemetry: Telemetry | None,
        weights: str | None,
    ) -> None:
        tokenizer = self._tokenizer(deployment, weights)
        load = self._plan.suite.load
        hardware = self._catalog.spec("hardware", deployment.asked.hardware.name)
        bench = Bench(
            directory=self._directory,
            deployment=deployment,
            serving=serving,
            worker=worker,
            telemetry=telemetry,
            accelerated=hardware.accelerated,
            sink=self._sink,
            interrupted=self._interrupted,
            run_seed=self._plan.suite.seed,
            stall_timeout_s=load.stall_timeout_s,
            request_timeout_s=load.request_timeout_s,
            power_limited=_power_limited(self._catalog.hardware(deployment.asked.hardware).probe()),
        )
        for points in _by_workload(deployment.points):
            made = traffic(
                self._catalog.workload(points[0].workload),
                serving.dialect,
                tokenizer,
                deployment.request.needs.context_tokens,
            )
            plugin = None if made.wire.startswith("openai-") else self._codec_plugin(deployment)
            self._measure(attrs.evolve(bench, codec_plugin=plugin), points, made, stack)

    def _measure(
        self,
        bench: Bench,
        points: list[PlannedPoint],
        made: Traffic,
        stack: contextlib.ExitStack,
    ) -> None:
        """The one loop: the load plan names the next level from the results so far."""
        levels = FixedLoadPlan(tuple(point.level for point in points))
        history: list[PointResult] = []
        restarted = False
        while (level := levels.next(history)) is not None:
            point = next(p for p in points if p.level == level)
            self._number += 1
            self._observers.tell(
                PointStarted(run=self._directory.id, deployment=bench.deployment.id, point=point.id)
            )
            result = measure_point(bench, point, made, self._step(bench))
            history.append(result)
            self._keep(result)
            died = engine_died(result, self._directory.logs(bench.deployment.id))
            if died is not None:
                raise died
            if result.state is PointState.INTERRUPTED:
                raise Interrupted("interrupted by the user", hint="what was measured is kept")
            if result.state is PointState.STALLED:
                if restarted:
                    raise EngineError(
                        f"the server stalled again: {result.error}",
                        hint="its log may say why; raise load.stall_timeout_s if it is only slow",
                        log=self._directory.logs(bench.deployment.id),
                    )
                restarted = True
                self._sink.note("the server stalled; it is started once more")
                self._notes.append(f"{bench.deployment.id}: restarted once after a stall")
                bench.serving.stop()
                bench.serving.start()

    def _keep(self, result: PointResult) -> None:
        append_result(self._directory.results, result)
        self._results.append(result)
        self._sink.point(result)
        self._observers.tell(PointFinished(run=self._directory.id, result=result))

    def _step(self, bench: Bench) -> Callable[[str, PlannedPoint], Step]:
        def step(phase: str, point: PlannedPoint) -> Step:
            return Step(
                deployment=bench.deployment.label,
                label=f"{point.workload.name} {point.level.label}",
                number=self._number,
                points=self._plan.points,
                phase=phase,
                expected_s=point.stop.duration_s,
                expected_turns=point.stop.requests,
                left_s=self._left_s(phase),
            )

        return step

    def _left_s(self, phase: str) -> float | None:
        """Time that the points not yet begun take, where all are limited by time."""
        points = [p for d in self._plan.deployments for p in d.points][self._number - 1 :]
        if any(point.stop.duration_s is None for point in points):
            return None
        repeats = [point.repeats for point in points]
        if repeats and phase.startswith("repeat"):
            repeats[0] -= int(phase.split()[1].partition("/")[0]) - 1
        return sum(
            n * (p.stop.duration_s or 0.0) * (1 + _DRAIN_SHARE)
            for n, p in zip(repeats, points, strict=True)
        )

    def _tokenizer(self, deployment: PlannedDeployment, weights: str | None) -> Tokenizer | None:
        name = deployment.asked.model
        model = self._catalog.model(name) if name is not None else None
        if model is None or model.tokenizer is None:
            return None
        if weights is None:
            weights = next((locate(w) for w in model.weights), None)
        return model.tokenizer(weights) if weights is not None else None

    # -- evals -----------------------------------------------------------------------------------

    def _ask(
        self, deployment: PlannedDeployment, evals: list[PlannedEval], serving: Serving
    ) -> None:
        for planned in evals:
            if self._interrupted():
                raise Interrupted("interrupted by the user", hint="what was measured is kept")
            name = planned.chosen.name
            folder = self._directory.evals(deployment.id, name)
            outcome = run_eval(
                planned,
                catalog=self._catalog,
                serving=serving,
                deployment=deployment.id,
                folder=folder,
                seed=self._plan.suite.seed,
                cpus=self._cores.client,
                on_asked=lambda done, total, name=name: self._sink.asked(name, done, total),  # type: ignore[misc]
                interrupted=self._interrupted,
            )
            where = folder.relative_to(self._directory.path)
            self._directory.write_json(str(where / "outcome.json"), plain(outcome))
            self._evals.append(outcome)
            self._sink.outcome(outcome)
            self._observers.tell(EvalFinished(run=self._directory.id, outcome=outcome))

    def _set_accuracy(self, deployment: PlannedDeployment) -> None:
        """Give every point of the deployment its accuracy verdict, and rewrite the results."""
        evals = tuple(e for e in self._evals if e.deployment == deployment.id)
        if not evals:
            return
        accuracy = worst_accuracy(evals)
        self._results = [
            attrs.evolve(result, accuracy=accuracy, evals=evals)
            if result.deployment == deployment.id
            else result
            for result in self._results
        ]
        rewrite_results(self._directory.results, self._results)

    # -- begin and end ---------------------------------------------------------------------------

    def _tell_start(self) -> None:
        directory = self._directory
        self._sink.note("run", directory=str(directory.path), points=self._plan.points)
        if self._cores.shared:
            note = "one CPU core only: engine and load generator share it"
            self._notes.append(note)
            self._sink.note(note)
        self._observers.tell(
            RunStarted(run=directory.id, path=str(directory.path), points=self._plan.points)
        )

    def _finish(self, state: str, error: BenchError | None) -> None:
        if self._results:
            with _keeping_first(error):
                write_table(self._directory.path / "results.parquet", self._results)
        with _keeping_first(error):
            self._write_state(state, error)
        self._observers.tell(
            RunFinished(
                run=self._directory.id,
                path=str(self._directory.path),
                state=state,
                exit_code=error.exit_code if error else 0,
            )
        )

    def _write_state(self, state: str, error: BenchError | None) -> None:
        self._directory.write_json(
            "run.json",
            {
                "name": self._plan.suite.name,
                "state": state,
                "started": self._started,
                "finished": None if state == "running" else now(),
                "error": error.message if error else None,
                "notes": self._notes,
                "clock": {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()},
            },
        )


@contextlib.contextmanager
def _keeping_first(error: BenchError | None) -> Iterator[None]:
    """An error of the last writes must not hide the one that ended the run."""
    try:
        yield
    except BenchError:
        if error is None:
            raise


def worst_accuracy(evals: tuple[EvalOutcome, ...]) -> Accuracy:
    """The verdict over several evals: one failure fails, one gate decides."""
    found = {outcome.accuracy for outcome in evals}
    for verdict in (Accuracy.FAIL, Accuracy.UNDECIDED, Accuracy.PASS):
        if verdict in found:
            return verdict
    return Accuracy.NOT_RUN


def _power_limited(probe: Probe) -> bool | None:
    """Whether a board's power limit is below its default; None where no board tells."""
    limits = [
        (device.power_limit_w, device.default_power_limit_w)
        for device in probe.devices
        if device.power_limit_w is not None and device.default_power_limit_w is not None
    ]
    return any(limit < default for limit, default in limits) if limits else None


def _by_workload(points: tuple[PlannedPoint, ...]) -> list[list[PlannedPoint]]:
    groups: dict[object, list[PlannedPoint]] = {}
    for point in points:
        groups.setdefault(point.workload, []).append(point)
    return list(groups.values())
