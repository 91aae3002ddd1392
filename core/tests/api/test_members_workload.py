"""Workload, Session, Tokenizer, Codec and LoadPlan: when core calls each member, and with what."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from tokenbench.api import (
    BenchError,
    Dialect,
    FixedLoadPlan,
    FrozenMap,
    LoadLevel,
    LoadPlan,
    SingleTurn,
    Stop,
    Target,
    TextPrompt,
    Turn,
    UsageError,
)
from tokenbench.launch.ports import free_port
from tokenbench.launch.process import start
from tokenbench.load.codecs import find_codec
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary, Status
from tokenbench.load.session_file import write_sessions
from tokenbench.load.worker_handle import WorkerHandle
from tokenbench.plan import resolve
from tokenbench.plan.load import resolve_load
from tokenbench.store.records import read_raw
from tokenbench.suite.schema import LoadRequest, PluginRef, RepeatsRequest

from .conftest import PLUGIN, Notes, WholeRun, plan_of, run_of, suite

Drive = Callable[..., PhaseSummary]


@pytest.fixture
def drive(notes: Notes, tmp_path: Path) -> Iterator[Drive]:
    """Run one phase with a scripted server, in a load worker, with the recording codec."""
    port = free_port()
    command = (sys.executable, "-m", "tokenbench_testing.server", "--port", str(port))
    server = start(command, log=tmp_path / "server.log")
    while "listening" not in server.log_tail(1):
        assert server.exit_code is None
    worker = WorkerHandle(cpus=None, log=tmp_path / "worker.log")

    def run(*sessions: Any, codec: str = "recording-lines", **more: Any) -> PhaseSummary:
        job = LoadJob(
            url=f"http://127.0.0.1:{port}",
            codec=codec,
            codec_module=PLUGIN,
            model="served",
            dialect=Dialect(codecs=(codec,), extra_body=FrozenMap({"a": 1})),
            sessions=str(tmp_path / "sessions"),
            output=str(tmp_path),
            concurrency=1,
            **{"stop": Stop(requests=99), **more},
        )
        target = Target(model=job.model, dialect=job.dialect)
        write_sessions(sessions, find_codec(codec, PLUGIN), target, [tmp_path / "sessions"])
        deadline = time.monotonic() + 10
        return worker.run(
            job,
            tmp_path / "job.json",
            on_progress=lambda _: None,
            interrupted=lambda: time.monotonic() > deadline,
            alive=lambda: True,
        )

    yield run
    worker.close()
    server.stop()


def _talk(name: str, first: str = "what is asked", **options: Any) -> Any:
    from recording.asking import Talk, WorkloadOptions  # type: ignore[import-not-found]

    return Talk(name, first, WorkloadOptions(**options))


@pytest.mark.covers("Session.next")
def test_next_is_called_at_the_start_and_after_each_turn(drive, notes) -> None:
    """First with None, then with the result of the turn, until it returns none."""
    summary = drive(_talk("one"), _talk("two"))
    assert (summary.turns, summary.stopped_by) == (4, "sessions")
    first, second, third = [c["previous"] for c in notes.of("Session.next")][:3]
    assert first is None
    apart = {"reasoning": "", "tool_calls": ""}
    assert second == {
        "number": 0, "ok": True, "text": " word word word", "n_in": 103, "n_out": 3, **apart,
    }  # fmt: skip
    assert third == {
        "number": 1, "ok": True, "text": " word word", "n_in": 104, "n_out": 2, **apart,
    }  # fmt: skip
    assert [c["session"] for c in notes.of("Session.next")] == [*["one"] * 3, *["two"] * 3]
    asked = [c["turn"]["prompt"]["text"] for c in notes.of("Codec.encode")]
    assert asked == ["what is asked", " word word word again"] * 2


def test_next_receives_failed_turns(drive, notes) -> None:
    """With ok False."""
    drive(_talk("one"), codec="recording-garbage", stop=Stop(requests=9))
    results = [c["previous"] for c in notes.of("Session.next")]
    assert [r and r["ok"] for r in results] == [None, False, False]


def test_next_of_a_one_turn_session_is_called_once(drive, notes) -> None:
    """Before the clock starts."""
    drive(_talk("one", one_turn=True))
    assert [c["previous"] is None for c in notes.of("Session.next")] == [True]


def test_an_exception_in_a_session_ends_the_phase(drive) -> None:
    """With an error that has its message."""
    with pytest.raises(BenchError, match="failed on purpose"):
        drive(_talk("one", fails=True))


@pytest.mark.covers("Codec.encode")
def test_a_codec_encodes_each_turn_for_its_target(drive, notes) -> None:
    """With the served model name and the dialect. Its UsageError is raised unchanged."""
    drive(_talk("one"))
    first, second = notes.of("Codec.encode")
    assert first["target"]["model"] == "served"
    assert first["target"]["dialect"]["extra_body"] == {"a": 1}
    assert (first["turn"]["max_tokens"], second["turn"]["max_tokens"]) == (3, 2)
    with pytest.raises(UsageError, match="unsupported on purpose"):
        drive(_talk("two", "unsupported"))


@pytest.mark.covers("Codec.classify")
def test_a_codec_decodes_each_event(drive, notes, tmp_path) -> None:
    """Once per line; records have its counts. A ValueError breaks only that turn."""
    drive(_talk("one"))
    events = [c["event"] for c in notes.of("Codec.classify")]
    assert len(events) == (3 + 1) + (2 + 1)
    assert events[:4] == [*['{"word": " word"}'] * 3, '{"in": 3, "out": 3}']
    records, chunks = read_raw(tmp_path)
    assert (records["n_in"].tolist(), records["n_out"].tolist()) == ([103, 104], [3, 2])
    assert len(chunks) == 5
    turn = SingleTurn(Turn(prompt=TextPrompt("a"), max_tokens=2))
    summary = drive(turn, turn, codec="recording-garbage")
    records, _ = read_raw(tmp_path)
    assert set(np.unique(records["status"])) == {int(Status.BROKEN)}
    assert len(summary.errors) == 2


def test_the_error_of_a_codec_is_reported(drive) -> None:
    """With its message."""
    turn = SingleTurn(Turn(prompt=TextPrompt("a"), max_tokens=2))
    summary = drive(turn, codec="recording-garbage")
    assert summary.errors == ("broken: unreadable response: unreadable on purpose",)


@pytest.mark.covers("Workload.context_tokens")
def test_the_engine_gets_the_context_of_the_workloads(notes) -> None:
    """The largest; None if one is unknown."""

    def asked(*contexts: int) -> int | None:
        ref = tuple(PluginRef("recording", FrozenMap({"context": c})) for c in contexts)
        plan, _ = plan_of(attrs.evolve(suite(evals=False), workloads=ref))
        return plan.deployments[0].request.needs.context_tokens

    assert asked(64) == 64
    assert asked(64, 512, 128) == 512
    assert asked(64, 0) is None


@pytest.mark.covers("Workload.dataset_hash")
def test_the_dataset_hash_is_part_of_the_identity(notes) -> None:
    """Other data are another point."""
    one = plan_of(suite(evals=False))[0].deployments[0].points[0]
    asked = suite(evals=False, workload={"data": "hash of other data"})
    other = plan_of(asked)[0].deployments[0].points[0]
    assert one.canonical["dataset"] == "hash of the data"
    assert one.canonical["workload_options"] == other.canonical["workload_options"]
    assert one.id != other.id


@pytest.mark.covers("Workload.sessions")
def test_each_phase_has_its_own_seed(whole_run: WholeRun) -> None:
    """The context describes the server; the returned sessions are run."""
    calls = whole_run.notes.of("Workload.sessions")
    # Before the engine starts, and for the server. A plan has no tokenizer of this model.
    choosing = [call for call in calls if call["seed"] == 0]
    assert choosing == calls[:2]
    phases = calls[2:]
    assert len(phases) == 2 * (1 + 2)
    assert len({call["seed"] for call in phases}) == len(phases)
    for call in calls:
        assert (call["token_ids"], call["chat"], call["context_tokens"]) == (False, False, 64)
    ran = {call["session"].partition("-")[0] for call in whole_run.notes.of("Session.next")}
    assert ran == {str(call["seed"]) for call in whole_run.notes.of("Workload.sessions")}


def test_seeds_are_deterministic(whole_run, notes, tmp_path) -> None:
    """They depend only on the suite's seed, the level and the phase."""
    twice = RepeatsRequest(at_least=2, at_most=2)
    load = LoadRequest(concurrency=(1, 2), repeats=twice, requests=2, warmup_per_concurrency=2)
    run_of(suite(load=load, evals=False), tmp_path, notes)
    seeds = [c["seed"] for c in notes.of("Workload.sessions")]
    assert seeds == [c["seed"] for c in whole_run.notes.of("Workload.sessions")]


@pytest.mark.covers(
    "Tokenizer.vocab_size", "Tokenizer.special_ids", "Tokenizer.encode", "Tokenizer.decode"
)
def test_the_workload_gets_the_model_s_tokenizer(whole_run: WholeRun) -> None:
    """Created once, from the selected weights."""
    (made,) = whole_run.notes.of("ModelSpec.tokenizer")
    assert made["path"] == "rec/weights"
    for call in whole_run.notes.of("Workload.sessions"):
        assert (call["vocab_size"], call["special_ids"]) == (5, [0])
        assert (call["ids"], call["text"]) == ([1, 2, 3], "what is asked")


def _levels_of(monkeypatch: pytest.MonkeyPatch, levels: LoadPlan) -> None:
    """Every load resolves to these levels."""

    def resolved(*args: Any) -> Any:
        return attrs.evolve(resolve_load(*args), levels=levels)

    monkeypatch.setattr(resolve, "resolve_load", resolved)


@pytest.mark.covers("FixedLoadPlan.known", "LoadPlan.known")
def test_known_levels_are_the_points_of_a_plan(notes, monkeypatch) -> None:
    """Levels not known in advance are not in the plan."""
    levels = (LoadLevel(concurrency=2), LoadLevel(concurrency=1))
    assert FixedLoadPlan(levels).known() == levels
    asked = attrs.evolve(suite(evals=False), load=LoadRequest(concurrency=(2, 1)))
    (deployment,) = plan_of(asked)[0].deployments
    assert tuple(point.level for point in deployment.points) == levels

    class Half(FixedLoadPlan):
        def known(self) -> tuple[LoadLevel, ...]:
            return self.levels[:1]

    _levels_of(monkeypatch, Half(levels))
    (deployment,) = plan_of(asked)[0].deployments
    assert tuple(point.level for point in deployment.points) == levels[:1]


@pytest.mark.covers("LoadPlan.next")
def test_the_next_level_depends_on_the_results(notes, monkeypatch, tmp_path) -> None:
    """Called before each point with all results; None ends the loop."""
    seen: list[list[str]] = []

    @attrs.frozen
    class Doubling(LoadPlan):
        def next(self, history: Any) -> LoadLevel | None:
            seen.append([result.level.label for result in history])
            return LoadLevel(concurrency=2 ** len(history)) if len(history) < 2 else None

    _levels_of(monkeypatch, Doubling())
    load = LoadRequest(requests=2, warmup_per_concurrency=0)
    ran = run_of(suite(load=load, evals=False), tmp_path, notes)
    assert ran.plan.points == 0
    assert seen == [[], ["c1"], ["c1", "c2"]]
    assert [result.level.label for result in ran.outcome.results] == ["c1", "c2"]
