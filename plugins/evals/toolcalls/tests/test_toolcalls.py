"""Tool calls: generated schemas and how answers are graded."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tokenbench_eval_toolcalls.plugin import ToolCallsOptions
from tokenbench_eval_toolcalls.schemas import ToolTask, tool_task
from tokenbench_eval_toolcalls.task import ToolCallsEval, fault

from tokenbench.api import Answer, ToolCall

TASKS = [tool_task(number, 4, 4) for number in range(200)]


def called(name: str, arguments: Any) -> Answer:
    """An answer with one call."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Answer(text="", tool_calls=(ToolCall(name=name, arguments=text),))


def test_schemas_are_valid_and_the_wanted_arguments_fit() -> None:
    """Of 200 tasks; each kind of value occurs, and tools differ by name."""
    kinds = set()
    for task in TASKS:
        for tool in task.tools:
            parameters = tool["function"]["parameters"]
            Draft202012Validator.check_schema(parameters)
            kinds |= {one["type"] for one in parameters["properties"].values()}
        names = [tool["function"]["name"] for tool in task.tools]
        assert len(set(names)) == 4
        assert Draft202012Validator(task.schema).is_valid(task.arguments)
        assert all(str(value) in task.request for value in task.arguments.values() if value is str)
    assert kinds == {"string", "integer", "number", "boolean", "array"}


def test_the_tool_to_call_stands_at_any_place() -> None:
    """Not always first."""
    places = {[tool["function"]["name"] for tool in task.tools].index(task.name) for task in TASKS}
    assert places == {0, 1, 2, 3}


def _with(task: ToolTask, **changes: Any) -> dict[str, Any]:
    return {**task.arguments, **changes}


def test_grading() -> None:
    """One call, of the right tool, valid, with the named values."""
    task = TASKS[0]
    key = next(iter(task.arguments))
    assert fault(called(task.name, task.arguments), task) == ""
    assert fault(Answer(text=json.dumps(task.arguments)), task) == "no call"
    assert fault(called("other_tool", task.arguments), task) == "tool"
    twice = called(task.name, task.arguments).tool_calls * 2
    assert fault(Answer(text="", tool_calls=twice), task) == "tool"
    assert fault(called(task.name, '{"a": '), task) == "json"
    assert fault(called(task.name, _with(task, extra=1)), task) == "schema"
    assert fault(called(task.name, _with(task, **{key: None})), task) == "schema"
    assert fault(called(task.name, "[]"), task) == "schema"


def test_values_that_are_valid_but_not_asked_for_are_wrong() -> None:
    """A schema-valid call of something else helps nobody."""
    task = next(t for t in TASKS if any(isinstance(v, bool) for v in t.arguments.values()))
    key = next(k for k, v in task.arguments.items() if isinstance(v, bool))
    assert fault(called(task.name, _with(task, **{key: not task.arguments[key]})), task) == "values"


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_requests_offer_the_tools(choice: str) -> None:
    """In the form of the OpenAI protocol; the score tells what the faults are."""
    made = ToolCallsEval(ToolCallsOptions(limit=3, choice=choice))
    sent: list[Any] = []

    def answers(requests: Any) -> list[Answer]:
        sent.extend(requests)
        tasks = [tool_task(number, 9, 4) for number in range(3)]
        wrong = called(tasks[1].name, {})
        return [called(tasks[0].name, tasks[0].arguments), wrong, Answer(text="no")]

    server: Any = SimpleNamespace(answers=answers)
    samples = made.ask(made.questions(9), server)
    body = dict(sent[0].extra_body)
    assert body["tool_choice"] == choice
    assert [tool["type"] for tool in body["tools"]] == ["function"] * 4
    score = made.score(samples)
    assert (score.correct, score.n) == (1.0, 3)
    assert score.others == {"right_tool": 2 / 3, "valid": 1 / 3}
