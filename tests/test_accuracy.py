"""Accuracy end to end, with a server whose answers are known: scores, gates, failures."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering_server import AnsweringServer, Said
from tests_bench import Bench, measured
from tokenbench_eval_demo.task import items

NO_LOAD = """version: 1
deployments: [{engine: {openai: {base_url: "URL", model: known, probe: false}}}]
workloads: []
load: {server_concurrency: 16}
evals: []
"""
ANSWERS = {item.question: item.answers[0] for item in items()}


def suite(bench: Bench, server: AnsweringServer) -> str:
    """A suite without workloads for a server."""
    (bench.folder / "s.yaml").write_text(NO_LOAD.replace("URL", server.url))
    return "s.yaml"


def outcome(bench: Bench, name: str) -> dict[str, Any]:
    """The outcome of an eval."""
    (file,) = bench.run_directory.glob(f"evals/*/{name}/outcome.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def samples(bench: Bench, name: str) -> list[dict[str, Any]]:
    """The samples of an eval."""
    (file,) = bench.run_directory.glob(f"evals/*/{name}/samples.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def some_right(share: float) -> Callable[[str], str]:
    """Answers of the demo's questions, of which about this share is right: always the same ones."""
    wrong = {q for i, q in enumerate(ANSWERS) if (i * 0.6180339887) % 1.0 >= share}
    return lambda question: (
        "No idea." if question in wrong else f"It is {ANSWERS.get(question, 'a load')}."
    )


def right_ones(answer: Callable[[str], str]) -> int:
    """How many of all questions get a right answer."""
    return sum(answer(question) != "No idea." for question in ANSWERS)


@pytest.mark.parametrize(
    ("share", "code", "verdict"), [(0.95, 0, "pass"), (0.5, 6, "fail"), (0.8, 0, "undecided")]
)
def test_a_gate_passes_fails_or_stays_open(bench, share: float, code: int, verdict: str) -> None:
    """With few questions where it is clear, with all of them where it is not; then the report says
    how many would decide. Every sample has its grade.
    """
    answer = some_right(share)
    with AnsweringServer(answer) as server:
        done = bench(
            *("run", suite(bench, server), "--gate", "demo", "--minimum", "demo=0.8"),
            *("--seed", "1"),
        )
    assert done.code == code, done.err
    found = outcome(bench, "demo")
    assert (found["accuracy"], found["questions"]) == (verdict, len(ANSWERS))
    graded = samples(bench, "demo")
    assert len(graded) == found["n"] == len(server.questions)
    assert sum(one["score"] for one in graded) == round(found["value"] * found["n"])
    if verdict == "undecided":
        assert found["n"] == len(ANSWERS) and found["value"] == right_ones(answer) / len(ANSWERS)
        assert f"about {found['needed']:,} questions would decide" in done.out
    else:
        assert found["n"] < len(ANSWERS) / 3
        assert f"certain of all {len(ANSWERS)} with 0.95" in done.out


def test_an_eval_asks_all_questions_at_the_measured_concurrency(bench) -> None:
    """The score is exact, and the load is that of the largest measured level."""
    answer = some_right(0.7)
    with AnsweringServer(answer) as server:
        done = bench(
            *("run", "--engine", server.engine, "--workload", "random:input_tokens=8"),
            *("--concurrency", "2,12", "--requests", "24", "--allow-invalid"),
            *("--eval", "demo", "--minimum", "demo=0.2"),
        )
    assert done.code == 0, done.err
    found = outcome(bench, "demo")
    assert (found["n"], found["value"]) == (len(ANSWERS), right_ones(answer) / len(ANSWERS))
    assert (found["accuracy"], found["concurrency"]) == ("pass", 12)
    assert {r["accuracy"] for r in measured(bench)} == {"pass"}


def test_a_busy_server_is_asked_again_and_counted(bench) -> None:
    """429 in the middle: every question gets its answer, the score is exact."""
    answer = some_right(0.9)
    with AnsweringServer(answer, busy=frozenset({5, 30, 31, 99})) as server:
        done = bench("run", suite(bench, server), "--eval", "demo")
    assert done.code == 0, done.err
    found = outcome(bench, "demo")
    assert (found["n"], found["unanswered"], found["retries"]) == (len(ANSWERS), 0, 4)
    assert found["value"] == right_ones(answer) / len(ANSWERS)


def test_unanswered_questions_never_leave_the_score(bench) -> None:
    """A third is refused for good: n counts them, and the verdict holds for any answer to them."""
    hard = set(list(ANSWERS)[::3])
    answer = some_right(1.0)
    with AnsweringServer(answer, refused=lambda question: question in hard) as server:
        done = bench("run", suite(bench, server), "--gate", "demo", "--minimum", "demo=0.8")
    assert done.code == 0, done.err
    found = outcome(bench, "demo")
    assert (found["n"], found["unanswered"]) == (len(ANSWERS), len(hard))
    # All that were answered are right: a score over them alone would pass.
    assert found["value"] == (len(ANSWERS) - len(hard)) / len(ANSWERS)
    assert found["accuracy"] == "undecided"


@pytest.mark.parametrize("fault", [{"dies_at": 60}, {"hangs_at": 60}], ids=["dies", "hangs"])
def test_a_server_that_fails_in_the_middle_gives_no_score(bench, fault: dict[str, int]) -> None:
    """Exit code 5 and no outcome; what was answered is kept, and the resumed run asks the rest."""
    answer = some_right(0.9)
    text = "load: {server_concurrency: 16, stall_timeout_s: 2, request_timeout_s: 2}"
    with AnsweringServer(answer, **fault) as server:  # type: ignore[arg-type]
        name = suite(bench, server)
        file = bench.folder / name
        file.write_text(file.read_text().replace("load: {server_concurrency: 16}", text))
        done = bench("run", name, "--gate", "demo", "--minimum", "demo=0.88", "--seed", "3")
        assert done.code == 5, done.err
        assert not list(bench.run_directory.glob("evals/*/demo/outcome.json"))
        kept = len(samples(bench, "demo"))
        assert 0 < kept < 60
        asked = len(server.questions)
        server.dies_at = server.hangs_at = None
        server.dead = False
        done = bench("run", "--resume", str(bench.run_directory))
    assert done.code in (0, 6), done.err
    found = outcome(bench, "demo")
    graded = samples(bench, "demo")
    assert len({one["question"] for one in graded}) == len(graded) == found["n"]
    # Not asked again: samples, and answers of the batch that was in flight.
    assert len(server.questions) - asked <= found["n"] - kept


def test_compare_says_what_a_change_costs_on_the_same_questions(bench) -> None:
    """Two runs of one server, which answers some questions worse the second time."""
    for share in (0.9, 0.86):
        with AnsweringServer(some_right(share)) as server:
            done = bench("run", suite(bench, server), "--eval", "demo", "--runs", f"r{share}")
        assert done.code == 0, done.err
    a, b = (next((bench.folder / f"r{share}").iterdir()) for share in (0.9, 0.86))
    done = bench("compare", str(a), str(b))
    assert done.code == 0, done.err
    lost = right_ones(some_right(0.9)) - right_ones(some_right(0.86))
    assert f"on the same {len(ANSWERS)} questions: {-100 * lost / len(ANSWERS):+.1f}" in done.out
    assert f"right in A only {lost}, in B only 0: B is worse" in done.out
    data = json.loads(bench("compare", str(a), str(b), "--json").out)
    assert data["evals"][0]["only_a"] == lost
    assert data["evals"][0]["p_value"] < 0.05


# -- the real test sets, through lm-evaluation-harness ---------------------------------------------

needs_harness = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("lm_eval", "math_verify")),
    reason="lm-eval is not installed (the extra `harness` of tokenbench-eval-math500)",
)
# All questions take minutes: by default, a part is asked.
WHOLE = bool(os.environ.get("TOKENBENCH_WHOLE_SETS"))
KINDS = 20
"""Of 20 questions, `right` are right, then one is malformed and one truncated, the rest wrong."""


def kind(number: int) -> int:
    """The kind of a question by its number in the file."""
    return (number * 7) % KINDS


def scripted(number: int, right: int, solution: str, wrong: str) -> Said:
    """The answer to a question."""
    if kind(number) < right:
        return Said(solution)
    if kind(number) == right:
        return Said("I would rather talk about the weather.")
    if kind(number) == right + 1:
        return Said("Let me think about that step by", finish="length")
    return Said(wrong)


def check_known(bench: Bench, name: str, right: int, total: int, part: int) -> dict[str, Any]:
    """The score is exactly the known one, and truncated answers are counted."""
    found = outcome(bench, name)
    numbers = [int(one["question"]) for one in samples(bench, name)]
    count = sum(kind(number) < right for number in numbers)
    assert (found["n"], found["value"]) == (len(numbers), count / len(numbers))
    assert len(numbers) == (total if WHOLE else part)
    assert len(set(numbers)) == len(numbers)
    assert found["truncated"] == sum(kind(number) == right + 1 for number in numbers)
    return found


def gsm8k(file: Path, right: int) -> Callable[[str], Said]:
    """Answers to GSM8K's questions."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    known = {
        f"Question: {row['question']}\nAnswer:": scripted(
            number,
            right,
            row["answer"],
            f"It is {number}00{number}7.5.\n#### {number}00{number}7.5",
        )
        for number, row in enumerate(rows)
    }
    return lambda text: known[text]


@needs_harness
@pytest.mark.parametrize(
    ("right", "code", "verdict"),
    [
        (18, 0, "undecided"),
        pytest.param(20, 0, "pass", marks=pytest.mark.skipif(not WHOLE, reason="whole sets only")),
        pytest.param(10, 6, "fail", marks=pytest.mark.skipif(not WHOLE, reason="whole sets only")),
    ],
)
def test_gsm8k_scores_what_is_known(
    bench, shared_data, right: int, code: int, verdict: str
) -> None:
    """With 5 examples each, for both filters. All 1,319 with TOKENBENCH_WHOLE_SETS=1."""
    file = shared_data("evals/gsm8k_test.jsonl")
    part = "" if WHOLE else ",limit=48"
    with AnsweringServer(gsm8k(file, right)) as server:
        done = bench(
            "run", suite(bench, server), "--eval", f"gsm8k:data={file}{part}", timeout_s=230
        )
    assert done.code == code, done.err
    found = check_known(bench, "gsm8k", right, 1319, 48)
    assert found["others"]["exact_match,strict-match"] == found["value"]
    assert (found["accuracy"], found["threshold"]) == (verdict, 0.9)
    assert len(server.bodies[0]["messages"]) == 11  # 5 examples of 2 turns, the question.


@needs_harness
def test_a_gate_on_gsm8k_takes_a_part_of_it(bench, shared_data) -> None:
    """A stratified subset of 200; the verdict needs fewer. A reasoning model's reasoning, with
    wrong numbers and stop strings in it, is not graded.
    """
    file = shared_data("evals/gsm8k_test.jsonl")
    answer = gsm8k(file, 20)

    def reasoning(text: str) -> Said:
        said = answer(text)
        return Said(said.text, reasoning="Question: is it 17? No, 18. The answer is 19.")

    with AnsweringServer(reasoning) as server:
        done = bench(
            *("run", suite(bench, server), "--gate", f"gsm8k:data={file},limit=200,reasoning=true"),
            timeout_s=230,
        )
    assert done.code == 0, done.err
    found = outcome(bench, "gsm8k")
    assert (found["value"], found["accuracy"], found["questions"]) == (1.0, "pass", 200)
    assert found["n"] <= 120
    assert "stop" not in server.bodies[0]
    kept = next(bench.run_directory.glob("evals/*/gsm8k/responses.jsonl")).read_text()
    assert json.loads(kept.splitlines()[0])["answer"]["reasoning"].startswith("Question: is it 17")


@needs_harness
def test_math500_scores_equivalent_answers(bench, shared_data) -> None:
    """The solutions as answers: the harness's verifier finds the known share. All 500 problems with
    TOKENBENCH_WHOLE_SETS=1.
    """
    file = shared_data("evals/math500_test.jsonl")
    part = "" if WHOLE else ",limit=40"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    known = {
        f"Problem:\n{row['problem']}\n\nSolution:": scripted(
            number, 12, row["solution"], "The final answer is $\\boxed{-98765.4321}$."
        )
        for number, row in enumerate(rows)
    }
    with AnsweringServer(lambda text: known[text]) as server:
        done = bench(
            *("run", suite(bench, server), "--eval", f"math500:data={file}{part}"),
            *("--minimum", "math500=0.2"),
            timeout_s=230,
        )
    assert done.code == 0, done.err
    assert check_known(bench, "math500", 12, 500, 40)["accuracy"] == "pass"
