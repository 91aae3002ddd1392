"""The eval worker and a server that fails: nothing is lost, asked twice or left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenbench.api import Interrupted
from tokenbench.evals.worker import read_samples
from tokenbench.run.runner import Runner
from tokenbench.store.layout import RunDirectory

from .conftest import Silent, plan_of, suite

ALL = [str(number) for number in range(1, 11)]


def test_a_busy_server_is_asked_again(ask, tmp_path) -> None:
    """A fifth of the requests get 503; every question has its answer in the end."""
    said = ask("--status-share", "0.2")
    assert [s.question for s in read_samples(tmp_path / "samples.jsonl")] == ALL
    assert said[-1]["score"]["n"] == 10
    assert said[-1]["unanswered"] == []
    assert said[-1]["retries"] >= 1


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_question_without_answer_is_counted(ask, notes, tmp_path, concurrency: int) -> None:
    """It loses neither its batch nor the eval, and is not scored. The others are sent once."""
    truth = tmp_path / "truth.jsonl"
    said = ask("--reject", "say 4 ", "--truth", str(truth), concurrency=concurrency)
    assert said[-1]["score"]["n"] == 9
    (missed,) = said[-1]["unanswered"]
    assert missed["question"] == "4"
    assert "HTTP 400" in missed["error"]
    answered = [number for number in ALL if number != "4"]
    assert [s.question for s in read_samples(tmp_path / "samples.jsonl")] == answered
    assert len(truth.read_text().splitlines()) == 9
    alone = [[number] for number in ALL]
    # The batch, then each of its questions alone.
    batches = alone if concurrency == 1 else [ALL[:8], *alone[:8], ALL[8:]]
    assert [call["batch"] for call in notes.of("Eval.ask")] == batches


def test_a_resumed_eval_asks_the_unanswered_question_again(ask, notes, tmp_path) -> None:
    """And only that one."""
    ask("--reject", "say 4 ")
    notes.file.unlink()
    said = ask()
    assert [call["batch"] for call in notes.of("Eval.ask")] == [["4"]]
    assert said[-1]["score"]["n"] == 10
    assert said[-1]["unanswered"] == []


def test_one_question_in_flight_is_one_sample_on_disk(ask, notes) -> None:
    """Then a larger batch would only delay it."""
    ask(concurrency=1)
    assert [call["batch"] for call in notes.of("Eval.ask")] == [[number] for number in ALL]


def test_a_dead_server_ends_the_eval(ask, tmp_path) -> None:
    """It dies in the middle. What was answered is kept, in samples and in the started batch, and a
    resumed eval does not ask for it again.
    """
    said = ask("--die-after", "5", concurrency=1)
    assert said[-1]["kind"] == "EngineError"
    assert "Connect" in said[-1]["error"]
    kept = [s.question for s in read_samples(tmp_path / "samples.jsonl")]
    # Requests of one token do not count, and the first question asks for one.
    assert kept == ALL[: len(kept)]
    assert len(kept) >= 5
    said = ask("--truth", str(tmp_path / "truth.jsonl"), concurrency=3)
    assert said[-1]["score"]["n"] == 10
    assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == 10 - len(kept)


def test_answers_of_a_batch_in_progress_survive(ask, tmp_path) -> None:
    """The server hangs in the middle of a batch: the answers that came are not asked for again."""
    said = ask("--hang-after", "4", concurrency=3, stall_timeout_s=1.0)
    assert said[-1]["kind"] == "EngineError"
    assert "stalled: nothing arrived for 1 s" in said[-1]["error"]
    assert not read_samples(tmp_path / "samples.jsonl")
    kept = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(kept) >= 4
    said = ask("--truth", str(tmp_path / "truth.jsonl"))
    assert said[-1]["score"]["n"] == 10
    assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == 10 - len(kept)
    assert (tmp_path / "answers.jsonl").read_text() == ""


def test_a_server_that_refuses_everything_ends_the_eval(ask, tmp_path) -> None:
    """After some questions in a row, not after all."""
    said = ask("--refuse", concurrency=1)
    assert said[-1]["kind"] == "EngineError"
    assert "(8 questions in a row)" in said[-1]["error"]
    assert not read_samples(tmp_path / "samples.jsonl")


@pytest.mark.parametrize(
    ("raised", "state"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("a bug"), "failed")]
)
def test_the_state_is_final_whatever_ends_a_run(
    notes, tmp_path: Path, raised: BaseException, state: str
) -> None:
    """A second Ctrl-C is an outcome, a bug is raised; run.json says how the run ended."""

    class Broken(Silent):
        def note(self, *_: object, **__: object) -> None:
            raise raised

    plan, plugins = plan_of(suite())
    directory = RunDirectory.create(tmp_path, "run")
    runner = Runner(plan, plugins, directory, Broken(), interrupted=lambda: False, facts={})
    if state == "failed":
        with pytest.raises(RuntimeError):
            runner.run()
    else:
        assert isinstance(runner.run().error, Interrupted)
    run = json.loads((directory.path / "run.json").read_text())
    assert (run["state"], run["finished"] is not None) == (state, True)
    assert run["error"]
