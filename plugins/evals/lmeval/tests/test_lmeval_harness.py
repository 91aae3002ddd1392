"""The adapter with the real lm-eval, in its own interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Drive = Callable[..., dict[str, Any]]
Sums = Callable[..., dict[str, Any]]


def test_batches_are_asked_and_graded_by_the_harness(
    drive: Drive, sums: Sums, recorder: Any
) -> None:
    """Only the selected documents are asked, in batches, through the chat endpoint."""
    job = {"task": sums(), "limit": 6, "seed": 3, "batches": [4, 2], "base_url": recorder.url}
    done = drive(job)
    asked = [request["messages"][-1]["content"] for request in recorder.requests]
    assert sorted(asked) == sorted(question["text"] for question in done["questions"])
    assert len(set(asked)) == 6
    assert {request["path"] for request in recorder.requests} == {"/v1/chat/completions"}
    assert {request["max_tokens"] for request in recorder.requests} == {24}
    assert {request["temperature"] for request in recorder.requests} == {0}
    assert [s["question"] for s in done["samples"]] == [q["id"] for q in done["questions"]]
    texts = [f"{question['text']} It is 1." for question in done["questions"]]
    assert [sample["answer"] for sample in done["samples"]] == texts
    assert done["score"]["n"] == 6
    assert done["score"]["variant"].startswith("tokenbench_sums v2.0, 0-shot, lm-eval ")


def test_nothing_but_the_server_is_contacted(drive: Drive, sums: Sums, recorder: Any) -> None:
    """No hub, tokenizer download or telemetry."""
    job = {"task": sums(), "limit": 2, "batches": [2], "base_url": recorder.url}
    assert drive(job)["contacted"] == [recorder.url.removeprefix("http://")]


@pytest.mark.parametrize(("key", "sent"), [(None, "Bearer none"), ("ours", "Bearer ours")])
def test_a_key_for_another_service_is_not_sent(
    drive: Drive, sums: Sums, recorder: Any, key: str | None, sent: str
) -> None:
    """The harness reads OPENAI_API_KEY; the user's value must not reach this server."""
    job = {"task": sums(), "limit": 1, "batches": [1], "base_url": recorder.url, "api_key": key}
    drive(job, OPENAI_API_KEY="of-another-service")
    assert recorder.keys == [sent]


def test_a_failing_server_is_an_engine_error(drive: Drive, sums: Sums, recorder: Any) -> None:
    """An HTTP error that persists after the retries."""
    recorder.status = 500
    done = drive({"task": sums(), "limit": 1, "batches": [1], "base_url": recorder.url})
    assert done["error"]["kind"] == "EngineError"
    assert len(recorder.requests) == 2
    assert "samples" not in done


def test_answers_belong_to_their_questions(drive: Drive, sums: Sums, recorder: Any) -> None:
    """In any order of questions, although lm-eval labels documents by position."""
    done = drive({"task": sums(), "batches": [10], "base_url": recorder.url, "reverse": True})
    questions = done["questions"][::-1]
    assert [sample["question"] for sample in done["samples"]] == [q["id"] for q in questions]
    assert [s["answer"] for s in done["samples"]] == [f"{q['text']} It is 1." for q in questions]


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
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
    ],
)
def test_invalid_tasks_are_usage_errors(
    drive: Drive, sums: Sums, recorder: Any, change: dict[str, Any], message: str, hint: str
) -> None:
    """The hint says what to do."""
    job = {"task": sums(**change), "limit": 1, "batches": [1], "base_url": recorder.url}
    error = drive(job)["error"]
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
