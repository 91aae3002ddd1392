"""Eval and EvalClient: an eval worker with a scripted server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenbench.api import COMPLETIONS
from tokenbench.evals.worker import read_samples

from .conftest import WholeRun, plan_of, suite

ALL = [str(number) for number in range(1, 11)]


@pytest.mark.covers("Eval.needs")
def test_needs_determine_the_eval_twin(notes) -> None:
    """More context than the measured server has needs a twin; the plan lists the difference."""
    (deployment,) = plan_of(suite())[0].deployments
    assert notes.of("Eval.needs")
    assert deployment.evals[0].twin is None
    (deployment,) = plan_of(suite(eval={"needs_context": 999}))[0].deployments
    (planned,) = deployment.evals
    assert planned.twin_settings == ("context_tokens: 64 -> 999",)
    assert notes.of("Engine.plan")[-1]["request"]["needs"]["context_tokens"] == 999
    assert planned.twin is not None
    assert planned.twin.request.needs.context_tokens == 999


def test_the_eval_s_codec_is_used(whole_run: WholeRun) -> None:
    """Even if the measured requests use another one."""
    folder = whole_run.directory.evals(whole_run.plan.deployments[0].id, "recording")
    job = json.loads((folder / "job.json").read_text())
    assert (job["codec"], job["codec_module"]) == (COMPLETIONS, None)


@pytest.mark.covers("Eval.questions", "Eval.ask", "Eval.score")
def test_questions_are_asked_in_batches(ask, notes) -> None:
    """Sampled with the run's seed, in order, each batch once. All answers are scored."""
    said = ask()
    assert [call["seed"] for call in notes.of("Eval.questions")] == [7]
    assert [call["batch"] for call in notes.of("Eval.ask")] == [ALL[:8], ALL[8:]]
    *single, scored = notes.of("Eval.score")
    assert list(scored["answers"]) == ALL
    # Each answer is graded as it comes.
    assert [list(call["answers"]) for call in single] == [[one] for one in ALL]
    assert said[0] == {"questions": 10}
    assert said[1:3] == [{"answered": 8}, {"answered": 10}]
    expected = {"metric": "words", "value": 1.0, "n": 10, "correct": 10, "variant": "v1"}
    assert said[3]["score"] == {**expected, "others": {}}
    assert (said[3]["unanswered"], said[3]["retries"]) == ([], 0)


def test_a_resumed_eval_asks_only_missing_questions(ask, notes, tmp_path) -> None:
    """And scores all answers."""
    ask()
    lines = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text("".join(lines[:8]))
    notes.file.unlink()
    said = ask()
    assert [call["batch"] for call in notes.of("Eval.ask")] == [ALL[8:]]
    assert list(notes.of("Eval.score")[-1]["answers"]) == ALL
    assert said[-1]["score"]["n"] == 10
    assert [s.question for s in read_samples(tmp_path / "samples.jsonl")] == ALL


def test_a_missing_answer_is_a_plugin_error(ask, notes) -> None:
    """ask() must return one sample per question; nothing is scored."""
    said = ask(options={"short": True})
    assert (said[-1]["kind"], said[-1]["error"]) == (
        "PluginError",
        "eval 'recording': ask() did not return one sample per question, in order",
    )
    assert not notes.of("Eval.score")


@pytest.mark.covers("EvalClient.base_url", "EvalClient.model", "EvalClient.concurrency")
def test_the_eval_server_is_the_measured_one(whole_run: WholeRun) -> None:
    """Its URL, model name and planned concurrency."""
    (ready,) = whole_run.notes.of("bench_deployment_ready")
    calls = whole_run.notes.of("Eval.ask")
    assert calls
    for call in calls:
        assert call["base_url"] == ready["event"]["endpoints"][0]["url"]
        assert (call["model"], call["concurrency"]) == ("recorded", 2)


@pytest.mark.covers("EvalClient.scratch")
def test_scratch_is_removed_after_the_run(whole_run: WholeRun) -> None:
    """All batches use the same writable folder."""
    calls = whole_run.notes.of("Eval.ask")
    assert len(calls) == 2
    (scratch,) = {call["scratch"] for call in calls}
    assert not Path(scratch).exists()


@pytest.mark.covers("EvalClient.api_key")
def test_the_api_key_comes_from_the_environment(ask, notes, tmp_path) -> None:
    """If the plan names a variable. It is in no file of the job."""
    ask()
    assert [call["keyed"] for call in notes.of("Eval.ask")] == [False, False]
    (tmp_path / "samples.jsonl").unlink()
    ask(key="sk-eval-key")
    assert [call["keyed"] for call in notes.of("Eval.ask")][2:] == [True, True]
    assert "sk-eval-key" not in (tmp_path / "job.json").read_text()


@pytest.mark.covers("EvalClient.generate", "EvalClient.answers")
def test_answers_are_in_order(ask, notes, tmp_path) -> None:
    """For any length, with several requests in flight. A rejected request is an EngineError."""
    ask(concurrency=5)
    answers = notes.of("Eval.score")[-1]["answers"]
    assert {n: len(text.split()) for n, text in answers.items()} == {n: int(n) for n in ALL}
    (tmp_path / "samples.jsonl").unlink()
    said = ask("--refuse")
    assert said[-1]["kind"] == "EngineError"
    assert said[-1]["error"].startswith("the server failed on an eval question: HTTP 400")


def test_the_outcome_has_the_score(whole_run: WholeRun) -> None:
    """Also on disk."""
    (outcome,) = whole_run.outcome.evals
    assert (outcome.metric, outcome.value, outcome.n) == ("words", 1.0, 10)
    assert outcome.variant == "v1"
    folder = whole_run.directory.evals(whole_run.plan.deployments[0].id, "recording")
    assert json.loads((folder / "outcome.json").read_text())["value"] == 1.0
