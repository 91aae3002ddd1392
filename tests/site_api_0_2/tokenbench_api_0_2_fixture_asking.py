"""Plugins that ask, grade, report, amend and observe, as they were written for API 0.2.

FROZEN: never edit it. It stands for the plugins of other people that nobody edits either. It is
deleted when its major version is no longer supported; until then what breaks it is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenbench.api import (
    API_VERSION,
    CHAT,
    COMPLETIONS,
    DECODE,
    PREFILL,
    RESULT_SCHEMA_VERSION,
    SERVER,
    Accuracy,
    Amendment,
    AmendRequest,
    Artifact,
    BenchError,
    ChatPrompt,
    Check,
    CheckOutcome,
    DeploymentReady,
    Estimate,
    Eval,
    EvalClient,
    EvalFinished,
    EvalNeeds,
    EvalOutcome,
    EvalSample,
    EvalScore,
    EvalSpec,
    FileSpec,
    FixedLoadPlan,
    FlagValue,
    FrozenMap,
    Generation,
    HardwareFacts,
    Interrupted,
    LaunchPlan,
    Layout,
    LoadLevel,
    LoadPlan,
    MachineError,
    Measurement,
    MeasurementInvalid,
    Message,
    MetricDefinition,
    NoOptions,
    OptionalFeatureMissing,
    PluginContext,
    PluginError,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    Pool,
    ProcessSpec,
    Prompt,
    Question,
    Reporter,
    ReporterSpec,
    RunFinished,
    RunStarted,
    RunView,
    ServingNeeds,
    Session,
    SingleTurn,
    Spec,
    Stop,
    TextPrompt,
    TokenPrompt,
    Topology,
    Turn,
    TurnResult,
    View,
    Workload,
    WorkloadContext,
    WorkloadSpec,
    hookimpl,
    option,
    options,
)

NAME = "api-0-2"
# -- names that plugins compare with, or pass on -------------------------------------------------
USED = (API_VERSION, CHAT, DECODE, PREFILL, RESULT_SCHEMA_VERSION, Spec, Prompt)
USED += (BenchError, MachineError, Interrupted, MeasurementInvalid, OptionalFeatureMissing)
USED += (ChatPrompt((Message("user", "a"),)), TokenPrompt((1, 2)), Stop(requests=1), Measurement)
USED += (Check(name="c", outcome=CheckOutcome.OK, evidence="e"), FlagValue, PluginError, LoadPlan)
USED += (FixedLoadPlan((LoadLevel(concurrency=1), LoadLevel(rate_per_s=1.5, arrival="poisson"))),)
USED += (Layout(pools=(Pool(role=DECODE, topology=Topology(tp=2, pp=2), replicas=3),)),)
USED += (HardwareFacts(kind="k", sku="s", count=2), ServingNeeds(context_tokens=9, logprobs=True))


# -- workload ------------------------------------------------------------------------------------
class Fork(Session):
    """Two questions at once, then one made of both answers."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.answers: list[str] = []

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        if previous is None:
            return (_turn(f"{self.text} a", n_in=3), _turn(f"{self.text} b", n_in=3))
        self.answers.append(previous.text if previous.ok else "")
        if len(self.answers) == 2:
            return _turn(" ".join(self.answers), parents=(0, 1), delay_s=0.01)
        return None


def _turn(text: str, **more: Any) -> Turn:
    fixed = {"exact_output": True, "affinity": "a", "temperature": 0.0, "seed": 1}
    return Turn(
        prompt=TextPrompt(text), max_tokens=3, extra_body=FrozenMap({"x": 1}), **fixed, **more
    )


class OwnWorkload(Workload):
    def context_tokens(self) -> int | None:
        return 128

    def dataset_hash(self) -> str | None:
        return "0" * 64

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        assert context.tokenizer is not None and not context.chat and not context.token_ids
        ids = context.tokenizer.encode(f"what is {seed}")
        number = 0
        while True:
            text = context.tokenizer.decode(ids)
            yield Fork(text) if number % 2 else SingleTurn(_turn(text, n_in=3))
            number += 1


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    spec = WorkloadSpec(
        name=NAME,
        summary="forks",
        factory=lambda options, context: OwnWorkload(),
    )
    return [spec]


# -- eval ----------------------------------------------------------------------------------------
@options
class EvalOptions:
    """How many questions."""

    limit: int = option(default=4, help="questions asked", unit="questions", minimum=1)


class OwnEval(Eval):
    def __init__(self, options: EvalOptions, context: PluginContext) -> None:
        self._options = options

    def needs(self) -> EvalNeeds:
        return EvalNeeds(codec=COMPLETIONS, context_tokens=32, logprobs=False, real_acceptance=True)

    def questions(self, seed: int) -> Sequence[Question]:
        return [Question(id=f"q{n}", text=f"{n} {seed}") for n in range(self._options.limit)]

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        assert server.base_url and server.model and server.concurrency and server.api_key is None
        (Path(server.scratch) / "cache").touch()
        fixed = {"max_tokens": 2, "stop": ("!",), "temperature": 0.0, "seed": 1}
        asked = [Generation(prompt=TextPrompt(q.text), **fixed) for q in batch]
        answers = server.generate(asked)
        return [
            EvalSample(question=q.id, answer=text, score=1.0, details=FrozenMap({"seen": "yes"}))
            for q, text in zip(batch, answers, strict=True)
        ]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        right = sum(sample.score or 0.0 for sample in samples)
        total = len(samples)
        return EvalScore(metric="own", value=right / total, n=total, correct=right, variant="v1")


@hookimpl
def bench_register_evals() -> Sequence[EvalSpec]:
    return [EvalSpec(name=NAME, summary="questions", options=EvalOptions, factory=OwnEval)]


# -- reporter ------------------------------------------------------------------------------------
class OwnReporter(Reporter):
    def render(self, view: View) -> Iterable[Artifact]:
        lines = [f"{view.width} {view.color}"]
        for run in view.runs:
            lines += self._run(run, view.definitions)
        text = "\n".join(lines).encode() + b"\n"
        return [
            Artifact(content=text),
            Artifact(content=text, media_type="text/plain", name="api-0-2.txt"),
        ]

    def _run(self, run: RunView, definitions: tuple[MetricDefinition, ...]) -> list[str]:
        said = [f"{run.id} {run.path} {run.name} {run.started} {run.finished} {run.state}"]
        said += [f"{run.error} {run.notes} {run.provenance.get('bench.version')}"]
        units = {d.name: (d.title, d.unit, d.definition, d.higher_is_better) for d in definitions}
        for result in run.results:
            said.append(self._result(result))
            for name, value in result.metrics.items():
                estimate: Estimate = value
                said.append(f"{name} {estimate.mean} {estimate.half_width} {units.get(name)}")
        return [*said, *(self._eval(outcome) for outcome in run.evals)]

    def _result(self, result: PointResult) -> str:
        level: LoadLevel = result.level
        good = result.state is PointState.DONE and result.measurement is Measurement.CERTIFIED
        checks = [
            f"{c.name}: {c.evidence}" for c in result.checks if c.outcome is not CheckOutcome.OK
        ]
        return f"point {result.point} {level.label} {result.schema_version} {good} {checks}"

    def _eval(self, outcome: EvalOutcome) -> str:
        passed = outcome.accuracy is Accuracy.PASS
        return f"eval {outcome.eval} {outcome.value} of {outcome.n} {outcome.interval} {passed}"


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    spec = ReporterSpec(
        name=NAME,
        summary="a page",
        options=NoOptions,
        factory=lambda options, context: OwnReporter(),
    )
    return [spec]


# -- amendment and observer ----------------------------------------------------------------------
@hookimpl
def bench_amend_launch(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    if request.request.hardware.kind != NAME or not plan.processes:
        return None
    if SERVER not in request.roles.get(NAME, ()):
        return None
    return Amendment(
        reason="own chips need it",
        flags=FrozenMap({SERVER: FrozenMap({"--miscount": 1.0})}),
        environment=FrozenMap({SERVER: FrozenMap({"OWN": "1"})}),
        files=FrozenMap({SERVER: (FileSpec(name="own-2.json", content="{}"),)}),
        processes=(ProcessSpec(role="helper", argv=("sleep", "600"), ports=()),),
        mounts=("/opt/own",),
        devices=("/dev/own",),
    )


_SEEN: list[str] = []


@hookimpl
def bench_run_started(event: RunStarted) -> None:
    _SEEN.append(f"started {event.run} {event.points}")


@hookimpl
def bench_deployment_ready(event: DeploymentReady) -> None:
    _SEEN.append(f"ready {event.engine} {event.engine_version} {event.endpoints[0].url}")


@hookimpl
def bench_point_started(event: PointStarted) -> None:
    _SEEN.append(f"point {event.deployment} {event.point}")


@hookimpl
def bench_point_finished(event: PointFinished) -> None:
    _SEEN.append(f"measured {event.result.point} {event.result.state.value}")


@hookimpl
def bench_eval_finished(event: EvalFinished) -> None:
    _SEEN.append(f"graded {event.outcome.eval} {event.outcome.accuracy.value}")


@hookimpl
def bench_run_finished(event: RunFinished) -> None:
    _SEEN.append(f"finished {event.state} {event.exit_code}")
    (Path(event.path) / "reports" / "api-0-2-events.txt").write_text("\n".join(_SEEN))
