"""The pure parts of a run, and its small worker processes."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Accuracy,
    AccuracyThreshold,
    ChatPrompt,
    Check,
    CheckOutcome,
    Dialect,
    EngineError,
    EvalOutcome,
    EvalScore,
    Measurement,
    MeasurementInvalid,
    Message,
    SingleTurn,
    TextPrompt,
    TokenPrompt,
    Turn,
    UsageError,
    Weights,
    WorkloadContext,
)
from tokenbench.cli.run import _judge
from tokenbench.launch.local import HOST
from tokenbench.launch.node.program import RunningProgram
from tokenbench.load.cores import Cores
from tokenbench.measure.accuracy import wilson
from tokenbench.plan.plan import PlannedEval
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.run.eval_outcome import Asked, outcome, unsound
from tokenbench.run.evals import worst_accuracy
from tokenbench.run.prompts import traffic
from tokenbench.run.provenance import provenance
from tokenbench.run.runner import Outcome
from tokenbench.run.weights import locate
from tokenbench.suite.schema import PluginRef
from tokenbench.telemetry.collect import Telemetry, Watched
from tokenbench_testing.samples import views


class One:
    """A workload of one prompt."""

    def __init__(self, prompt: object) -> None:
        self.prompt = prompt

    def sessions(self, context: object, seed: int):  # noqa: ANN201
        """That prompt."""
        yield SingleTurn(Turn(prompt=self.prompt, max_tokens=1))  # type: ignore[arg-type]


def test_the_codec_is_the_first_that_carries_the_prompts() -> None:
    """Messages need a chat endpoint even where completions are preferred."""
    both = Dialect(codecs=(COMPLETIONS, CHAT), token_id_prompts=True)
    ids, chat = TokenPrompt((1,)), ChatPrompt((Message("user", "x"),))
    assert traffic(One(ids), both, None, None).codec == COMPLETIONS  # type: ignore[arg-type]
    made = traffic(One(chat), both, None, None)  # type: ignore[arg-type]
    assert (made.codec, made.context.chat, made.context.token_ids) == (CHAT, True, False)
    with pytest.raises(UsageError, match="cannot carry"):
        traffic(One(ids), Dialect(codecs=(CHAT,)), None, None)  # type: ignore[arg-type]


class ForChats(One):
    """Refuses a context without a chat."""

    def sessions(self, context: WorkloadContext, seed: int):  # noqa: ANN201
        """That prompt, for chats only."""
        if not context.chat:
            raise UsageError("only for chats", hint="use a chat endpoint")
        yield from super().sessions(context, seed)


def test_a_workload_that_refuses_a_codec_is_asked_for_the_next() -> None:
    """Without a next codec, its own error is the run's."""
    chats = ForChats(TextPrompt("x"))
    both = Dialect(codecs=(COMPLETIONS, CHAT))
    assert traffic(chats, both, None, None).codec == CHAT  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="only for chats"):
        traffic(chats, Dialect(codecs=(COMPLETIONS,)), None, None)  # type: ignore[arg-type]


def _planned(minimum: float | None, variant: str | None = None) -> PlannedEval:
    threshold = None
    if minimum is not None:
        threshold = AccuracyThreshold(
            eval="e", minimum=minimum, source="s", date="d", variant=variant
        )
    return PlannedEval(name="e", ref=PluginRef("e"), threshold=threshold)


@pytest.mark.parametrize(
    ("planned", "verdict"),
    [
        (_planned(0.3), Accuracy.PASS),
        (_planned(0.9), Accuracy.FAIL),
        (_planned(0.55), Accuracy.UNDECIDED),
        (_planned(None), Accuracy.NOT_RUN),
        (_planned(0.9, "another variant"), Accuracy.NOT_RUN),
        (_planned(0.9, "v1, 5-shot"), Accuracy.FAIL),
    ],
)
def test_an_evals_verdict(planned: PlannedEval, verdict: Accuracy) -> None:
    """By interval against threshold; a threshold of another variant says nothing, one of a
    variant's beginning does.
    """
    score = EvalScore(metric="m", value=0.5, n=40, correct=20.0, variant="v1, 5-shot, h 2")
    found = outcome(score, planned, "d", Asked(questions=40))
    assert found.accuracy is verdict
    # z^2 t (1 - t) / (score - t)^2, for an undecided one only.
    assert found.needed == (381 if verdict is Accuracy.UNDECIDED else None)


@pytest.mark.parametrize(
    ("minimum", "unanswered", "verdict"),
    [
        (0.30, 2, Accuracy.PASS),
        (0.30, 12, Accuracy.UNDECIDED),
        (0.90, 2, Accuracy.FAIL),
        (0.90, 400, Accuracy.UNDECIDED),
    ],
)
def test_a_verdict_holds_for_any_answer_to_unanswered_questions(
    minimum: float, unanswered: int, verdict: Accuracy
) -> None:
    """Between all of them wrong and all right. They are never left out of the score."""
    score = EvalScore(metric="m", value=0.5, n=40, correct=20.0, variant="v")
    asked = Asked(questions=40 + unanswered, unanswered=unanswered)
    found = outcome(score, _planned(minimum), "d", asked)
    assert (found.n, found.unanswered) == (40 + unanswered, unanswered)
    assert found.value == 20 / (40 + unanswered)
    assert found.interval[0] == wilson(20, found.n)[0]
    assert found.interval[1] == wilson(20 + unanswered, found.n)[1]
    assert found.accuracy is verdict


def test_a_gate_that_stopped_judges_all_its_questions() -> None:
    """200 of 1,319 asked, 196 right: the interval is over all, and the verdict agrees with it."""
    score = EvalScore(metric="m", value=0.98, n=200, correct=196.0, variant="v")
    asked = Asked(questions=1319, confidence=0.95)
    found = outcome(score, _planned(0.9), "d", asked)
    assert (found.accuracy, found.n, found.questions) == (Accuracy.PASS, 200, 1319)
    assert found.confidence == 0.95
    assert found.interval[0] >= 0.9
    # Wider than the interval of those that were asked.
    assert found.interval[0] < wilson(196, 200)[0]
    assert found.interval[1] > wilson(196, 200)[1]


def test_a_server_that_is_not_sound_fails_without_a_score() -> None:
    """Nothing was measured: the value is None, not 0."""
    found = unsound(_planned(0.9), "d", "empty text")
    assert (found.accuracy, found.value, found.n) == (Accuracy.FAIL, None, 0)
    assert found.canary == "empty text"


def test_one_failed_gate_fails_a_deployment() -> None:
    """The worst of several evals counts; scores without a gate do not."""

    def made(*verdicts: Accuracy) -> tuple[EvalOutcome, ...]:
        return tuple(SimpleNamespace(accuracy=v) for v in verdicts)  # type: ignore[misc]

    assert worst_accuracy(made(Accuracy.PASS, Accuracy.FAIL)) is Accuracy.FAIL
    assert worst_accuracy(made(Accuracy.PASS, Accuracy.UNDECIDED)) is Accuracy.UNDECIDED
    assert worst_accuracy(made(Accuracy.PASS, Accuracy.NOT_RUN)) is Accuracy.PASS
    assert worst_accuracy(made(Accuracy.NOT_RUN)) is Accuracy.NOT_RUN


def test_weights_are_checked_before_an_engine_is_started(tmp_path: Path) -> None:
    """Size first, then content; a hub's name is passed on."""
    file = tmp_path / "w"
    file.write_bytes(b"abc")
    good = hashlib.sha256(b"abc").hexdigest()

    def weights(**facts: object) -> Weights:
        return Weights(precision="p", format="f", source=f"file:{file}", revision="1", **facts)

    assert locate(weights(size_bytes=3, sha256=good)) == str(file)
    with pytest.raises(EngineError, match="has 3 bytes instead of 4"):
        locate(weights(size_bytes=4))
    with pytest.raises(EngineError, match="SHA-256"):
        locate(weights(sha256="0" * 64))
    hub = Weights(precision="p", format="f", source="hub:org/name", revision="1")
    assert locate(hub) == "org/name"


def test_provenance_holds_no_secret(monkeypatch) -> None:
    """Variables of engines are kept, keys are not, whatever they are called."""
    monkeypatch.setenv("VLLM_USE_V1", "1")
    monkeypatch.setenv("VLLM_API_KEY", "hush")
    monkeypatch.setenv("TOKENBENCH_TOKEN", "hush")
    plan: Any = SimpleNamespace(
        resolved=SimpleNamespace(seed=3), cores=Cores(engine=(0,), workers=(1,))
    )
    facts = provenance([], plan, argv=["bench", "run"])
    assert facts["env.VLLM_USE_V1"] == "1"
    assert "hush" not in facts.values()
    assert {"cpu", "kernel", "library.httptools", "clock.wall_ns", "seed"} <= set(facts)


def test_the_agent_samples_beside_a_measurement(tmp_path: Path) -> None:
    """A process of its own; readings of a window, on our clock; gone when closed."""
    pytest.importorskip("tokenbench_hardware_cpu")
    plugins, ref = PluginInstances(PluginRegistry()), PluginRef("cpu")
    owner = plugins.owner("hardware", "cpu")
    program = plugins.hardware(ref).program()
    assert program is not None
    telemetry = Telemetry(tmp_path, interval_s=0.05)
    agent = telemetry.agent(HOST, tuple, None)
    watched = Watched(hardware="cpu", owner=owner, domain="cpu", devices=(0,))
    begun = time.monotonic_ns()
    telemetry.watch(agent, RunningProgram(agent, owner, program), watched)
    telemetry.wait()
    time.sleep(0.3)
    readings = telemetry.readings(begun, time.monotonic_ns())
    telemetry.close()
    telemetry.close()
    assert (telemetry.sources, telemetry.problems) == (("cpu",), {})
    assert len(readings) >= 3
    assert all(begun <= r.monotonic_ns <= time.monotonic_ns() for r in readings)
    assert readings[-1].sample.utilization is not None
    assert agent._process.exit_code == 0
    kept = [json.loads(line) for line in (tmp_path / "localhost-cpu.jsonl").read_bytes().split()]
    assert [row["t"] for row in kept][: len(readings)] == [r.monotonic_ns for r in readings]


def test_an_invalid_measurement_says_all_that_is_wrong() -> None:
    """The first check with its evidence, the others by name."""

    def check(name: str, found: CheckOutcome) -> Check:
        return Check(name=name, outcome=found, evidence=f"{name} is off")

    point = views.point(
        measurement=Measurement.INVALID,
        checks=(
            check("foreign load", CheckOutcome.INVALID),
            check("steady state", CheckOutcome.FLAGGED),
            check("lengths", CheckOutcome.INVALID),
            check("prefix cache", CheckOutcome.INVALID),
        ),
    )
    ended = Outcome(state="complete", results=(point,), evals=(), error=None)
    with pytest.raises(MeasurementInvalid) as caught:
        _judge(ended, allow_invalid=False)
    assert caught.value.message == (
        f"1 of 1 measurements are invalid ({point.level.label}: foreign load: foreign load is off; "
        "also lengths, prefix cache)"
    )
    _judge(ended, allow_invalid=True)
