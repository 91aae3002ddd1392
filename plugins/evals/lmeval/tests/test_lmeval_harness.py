"""The adapter with the real lm-eval, in its own interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tokenbench_eval_lmeval.model import _MESSAGES, answer_of, cut, generation

from tokenbench.api import TextPrompt

Drive = Callable[[dict[str, dict[str, Any]]], dict[str, Any]]
Sums = Callable[..., dict[str, Any]]

# What is wrong with a task, with message and hint.
INVALID: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"name": "tokenbench_choice"}, "needs log-probabilities", "generates text"),
    (
        {"name": "tokenbench_several", "overrides": {}},
        "is a group of 2 tasks",
        "tokenbench_sums_again",
    ),
    ({"include": "/nowhere/at/all"}, "no such folder: /nowhere/at/all", "include="),
    (
        {"overrides": {"dataset_kwargs": {"data_files": "/nowhere.jsonl"}}},
        "could not load the task",
        "must be local",
    ),
    ({"metric": "f1,none"}, "no metric 'f1,none'", "exact_match,first-number"),
)


@pytest.fixture(scope="module")
def driven(drive: Drive, sums: Sums) -> dict[str, Any]:
    """The results of all jobs, from one process: importing the harness takes seconds."""
    jobs = {
        "batches": {"task": sums(), "limit": 6, "seed": 3, "batches": [4, 2]},
        "fails": {"task": sums(), "limit": 1, "batches": [1], "fails": True},
        "reversed": {"task": sums(), "batches": [10], "reverse": True},
    }
    wrong = [{"task": sums(**change), "limit": 1, "batches": [1]} for change, _, _ in INVALID]
    return drive({**jobs, **{f"invalid {n}": job for n, job in enumerate(wrong)}})


def test_batches_are_asked_and_graded_by_the_harness(driven: dict[str, Any]) -> None:
    """Only the selected documents are asked, in batches, as chats, through core's server."""
    done = driven["batches"]
    asked = [request["prompt"]["messages"][-1]["content"] for request in done["requests"]]
    assert sorted(asked) == sorted(question["text"] for question in done["questions"])
    assert len(set(asked)) == 6
    assert {request["max_tokens"] for request in done["requests"]} == {24}
    assert {request["temperature"] for request in done["requests"]} == {0}
    assert [s["question"] for s in done["samples"]] == [q["id"] for q in done["questions"]]
    texts = [f"{question['text']} It is 1." for question in done["questions"]]
    assert [sample["answer"] for sample in done["samples"]] == texts
    assert done["score"]["n"] == 6
    assert done["score"]["variant"].startswith("tokenbench_sums v2.0, 0-shot, lm-eval ")


def test_nothing_else_is_contacted(driven: dict[str, Any]) -> None:
    """No hub, tokenizer download or telemetry; the server is asked by core."""
    assert driven["contacted"] == []


def test_a_failing_server_is_an_engine_error(driven: dict[str, Any]) -> None:
    """Core's own error passes through the harness, so that core can count the question."""
    done = driven["fails"]
    assert (done["error"]["kind"], done["error"]["message"]) == (
        "EngineError",
        "the server failed on purpose",
    )
    assert "samples" not in done


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"until": "\n", "do_sample": False}, {"stop": ("\n",), "max_tokens": 99}),
        ({"until": list("abcdef"), "max_gen_toks": 7}, {"stop": tuple("abcd"), "max_tokens": 7}),
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "extra_body": {"top_p": 0.9}}),
        ({"max_tokens": 5, "max_gen_toks": 7}, {"stop": (), "max_tokens": 5}),
    ],
)
def test_settings_of_a_task_are_sent(settings: dict[str, Any], sent: dict[str, Any]) -> None:
    """As the harness's own chat model sends them: at most four stops, a fixed seed."""
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "1+1?"}]
    made = generation(_MESSAGES + json.dumps(messages), settings, 99)
    assert [(m.role, m.content) for m in made.prompt.messages] == [
        ("system", "be brief"),
        ("user", "1+1?"),
    ]
    assert {name: getattr(made, name) for name in sent} == sent
    assert made.seed == 1234


def test_plain_text_is_sent_as_it_is() -> None:
    """For completions endpoints, without a chat template."""
    assert generation('[{"role": "x"}]', {}, 9).prompt == TextPrompt('[{"role": "x"}]')


def test_reasoning_and_stop_strings_are_cut_from_answers() -> None:
    """Where the server leaves the reasoning in the answer; the first stop string ends it."""
    assert answer_of("<think>7? Q: no</think>It is 8.") == "It is 8."
    assert answer_of("It is 8.") == "It is 8."
    assert cut("It is 8.\nQ: next A: 9", ("A:", "Q:", "")) == "It is 8.\n"
    assert cut("It is 8.", ("Q:",)) == "It is 8."


def test_answers_belong_to_their_questions(driven: dict[str, Any]) -> None:
    """In any order of questions, although lm-eval labels documents by position."""
    done = driven["reversed"]
    questions = done["questions"][::-1]
    assert [sample["question"] for sample in done["samples"]] == [q["id"] for q in questions]
    assert [s["answer"] for s in done["samples"]] == [f"{q['text']} It is 1." for q in questions]


@pytest.mark.parametrize("number", range(len(INVALID)), ids=[message for _, message, _ in INVALID])
def test_invalid_tasks_are_usage_errors(driven: dict[str, Any], number: int) -> None:
    """The hint says what to do."""
    _, message, hint = INVALID[number]
    error = driven[f"invalid {number}"]["error"]
    assert error["kind"] == "UsageError"
    assert message in error["message"]
    assert hint in error["hint"]


def test_without_the_harness_the_hint_names_the_extra() -> None:
    """If lm_eval cannot be imported."""
    code = (
        "import sys; sys.modules['lm_eval'] = None\n"
        "from tokenbench.api import OptionalFeatureMissing\n"
        "from tokenbench_eval_lmeval.loading import HarnessTask, load\n"
        "try: load(HarnessTask(name='x'))\n"
        "except OptionalFeatureMissing as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'pip install "tokenbench-eval-lmeval[harness]"'
