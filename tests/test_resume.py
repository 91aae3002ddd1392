"""Runs that end early are resumed: what is measured and answered is kept."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests_bench import measured
from tokenbench_eval_demo.plugin import DemoOptions
from tokenbench_eval_demo.task import DemoEval

QUESTIONS = 20
EVAL = ("--eval", f"demo:limit={QUESTIONS}", "--no-canaries")
QUICK = ("--workload", "random:input_tokens=8,output_tokens=8", "--allow-invalid")
POINT = (*QUICK, "--concurrency", "1", "--requests", "3", "--repeats", "1")


def _read(bench: Any, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((bench.run_directory / name).read_text())
    return data


def _answered(bench: Any) -> list[str]:
    """The questions that have a sample on disk."""
    lines = [
        line
        for file in bench.folder.glob("runs/*/evals/*/*/samples.jsonl")
        for line in file.read_text().splitlines()
    ]
    return [json.loads(line)["question"] for line in lines]


def _sent(truth: Path) -> tuple[int, int]:
    """Requests of the load and of the eval that the server answered, told apart by length."""
    sums = [sum(json.loads(line)["tokens"]) for line in truth.read_text().splitlines()]
    return sums.count(8), sums.count(16)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_ended_during_an_eval_is_resumed(bench, number: signal.Signals) -> None:
    """Killed, nothing of it can say so; terminated, its state is final. Either way each question is
    asked once, with the seed that was drawn, and the point is not measured again.
    """
    truth = bench.folder / "truth.jsonl"
    # Slow enough that the eval still runs after another bench has started.
    script = f"scripted:script='--itl-s 0.03 --truth {truth}'"
    process = bench.start("run", "--engine", script, *POINT, *EVAL)
    deadline = time.monotonic() + 60
    while len(_answered(bench)) < 5:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    directory = str(bench.run_directory)
    if number == signal.SIGKILL:
        busy = bench("run", "--resume", directory)
        assert busy.code == 2
        assert "is still running" in busy.complaint[0]
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert _read(bench, "run.json")["state"] == "interrupted"
        assert f"bench run --resume runs/{bench.run_directory.name}" in out
    assert bench.all_gone()
    before, (loads, asked) = _answered(bench), _sent(truth)
    assert 5 <= len(before) < QUESTIONS
    done = bench("run", "--resume", directory, "--allow-invalid")
    assert done.code == 0, done.err
    assert _answered(bench)[: len(before)] == before
    assert len(set(_answered(bench))) == len(_answered(bench)) == QUESTIONS
    assert asked <= len(before) + 1
    # Nothing twice, except perhaps the answer that was on its way when the run ended.
    sent = _sent(truth)
    assert sent[0] == loads
    assert QUESTIONS <= sent[1] <= QUESTIONS + 1
    assert _read(bench, "run.json")["state"] == "complete"
    (result,) = measured(bench)
    assert result["evals"][0]["n"] == QUESTIONS
    if number == signal.SIGTERM:  # Nothing is left: no server is started.
        assert bench("run", "--resume", directory, "--allow-invalid").code == 0
        assert _sent(truth) == sent


def test_a_run_whose_server_died_is_resumed(bench) -> None:
    """The finished level is kept, the failed one measured again."""
    levels = (*QUICK, "--concurrency", "1,2", "--requests", "6", "--repeats", "1")
    done = bench("run", "--engine", "scripted:script='--die-after 15'", *levels)
    assert done.code == 5, done.err
    first, failed = measured(bench)
    assert (first["state"], failed["state"]) == ("done", "failed")
    # A new server counts anew, and the second level alone is short enough.
    done = bench("run", "--resume", str(bench.run_directory), "--allow-invalid")
    assert done.code == 0, done.err
    again = measured(bench)
    assert again[0] == first
    assert [(r["point"], r["state"]) for r in again] == [
        (first["point"], "done"),
        (failed["point"], "done"),
    ]


def test_a_question_without_an_answer_is_reported(bench) -> None:
    """It counts as wrong and is named; the run goes on."""
    question = DemoEval(DemoOptions(limit=9)).questions(1)[3]
    word = question.text.split()[-1].strip("?")
    args = ("--eval", "demo:limit=9", "--no-canaries", "--seed", "1", "--reporter", "console")
    done = bench("run", "--engine", f"scripted:script='--reject {word}'", *POINT, *args)
    assert done.code == 0, done.err
    (outcome,) = measured(bench)[0]["evals"]
    assert (outcome["n"], outcome["unanswered"]) == (9, 1)
    assert "8 of 9 questions answered" in done.out
    (file,) = bench.run_directory.glob("evals/*/demo/unanswered.jsonl")
    assert json.loads(file.read_text())["question"] == question.id


@pytest.mark.parametrize("evals", [(), ("--eval", "demo:limit=4", "--no-canaries")])
def test_a_stalled_server_is_restarted_only_if_something_follows(bench, evals) -> None:
    """A point or an eval."""
    suite = """
version: 1
deployments: [{engine: {scripted: {script: "--hang-after 8"}}}]
workloads: [{random: {input_tokens: 8, output_tokens: 8}}]
load: {concurrency: [1], requests: 50, repeats: 1, warmup_per_concurrency: 0, stall_timeout_s: 1}
"""
    (bench.folder / "suite.yaml").write_text(suite)
    done = bench("run", "suite.yaml", *evals, "--allow-invalid")
    assert done.code == 0, done.err
    assert [r["state"] for r in measured(bench)] == ["stalled"]
    assert ("restarting" in done.err) == bool(evals)
    assert [r["evals"][0]["n"] for r in measured(bench) if r["evals"]] == [4] * bool(evals)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nowhere"], "is not a run directory"),
        (["."], "is not a run directory"),
        ([".", "--engine", "scripted"], "is not a run directory"),
    ],
)
def test_what_cannot_be_resumed(cli, args: list[str], error: str) -> None:
    """Exit code 2."""
    done = cli("run", "--resume", *args)
    assert done.code == 2
    assert error in done.complaint[0]


def test_a_resumed_run_is_the_planned_one(bench) -> None:
    """Other flags are refused, and so is a plan that has become another."""
    assert bench("run", "--engine", "scripted", *POINT).code == 0
    directory = bench.run_directory
    done = bench("run", "--resume", str(directory), "--concurrency", "4")
    assert done.code == 2
    assert "--concurrency cannot be added" in done.complaint[0]
    plan = json.loads((directory / "plan.json").read_text())
    plan["deployments"][0]["id"] = "another"
    (directory / "plan.json").write_text(json.dumps(plan))
    done = bench("run", "--resume", str(directory))
    assert done.code == 2
    assert "cannot be resumed" in done.complaint[0]
