"""The task: call the right tool with the arguments that the request names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenbench.api import (
    Answer,
    ChatPrompt,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    FrozenMap,
    Generation,
    Message,
    Question,
    freeze,
)

from .schemas import ToolTask, tool_task

if TYPE_CHECKING:
    from .plugin import ToolCallsOptions

# A tool takes about 150 tokens, the request and the template 200.
_TOOL_TOKENS, _REQUEST_TOKENS = 200, 256


class ToolCallsEval(Eval):
    """An answer is right if it is one call of the right tool with valid arguments and the requested
    values.
    """

    def __init__(self, options: ToolCallsOptions) -> None:
        self._options = options

    def needs(self) -> EvalNeeds:
        """A chat codec; the server must accept `tools`."""
        prompt = _REQUEST_TOKENS + _TOOL_TOKENS * self._options.tools
        return EvalNeeds(context_tokens=prompt + self._options.max_tokens)

    def questions(self, seed: int) -> Sequence[Question]:
        """As many as asked. The seed is in the id: it makes the task."""
        names = [f"{seed}-{number}" for number in range(self._options.limit)]
        return [Question(id=name, text=self._task(name).request) for name in names]

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """The tools and the request; graded here, where the right call is known."""
        tasks = [self._task(question.id) for question in batch]
        answers = server.answers([self._generation(task) for task in tasks])
        return [
            _graded(question, answer, task)
            for question, answer, task in zip(batch, answers, tasks, strict=True)
        ]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The fraction of right calls; of valid ones and of those of the right tool beside it."""
        right = sum(sample.score or 0.0 for sample in samples)
        n = len(samples)
        faults = [sample.details["fault"] for sample in samples]
        others = {
            "right_tool": faults.count("") + faults.count("schema") + faults.count("values"),
            "valid": faults.count("") + faults.count("values"),
        }
        return EvalScore(
            metric="right_call",
            value=right / n if n else 0.0,
            n=n,
            correct=right,
            variant=f"toolcalls-1, {self._options.tools} tools, {self._options.choice}",
            others=FrozenMap({name: count / n for name, count in others.items()} if n else {}),
        )

    def _task(self, question: str) -> ToolTask:
        seed, _, number = question.rpartition("-")
        return tool_task(int(number), int(seed), self._options.tools)

    def _generation(self, task: ToolTask) -> Generation:
        body = {"tools": task.tools, "tool_choice": self._options.choice}
        return Generation(
            prompt=ChatPrompt((Message("user", task.request),)),
            max_tokens=self._options.max_tokens,
            extra_body=freeze(body),
        )


def fault(answer: Answer, task: ToolTask) -> str:
    """What is wrong with an answer: ``no call``, ``tool``, ``json``, ``schema``, ``values``, or
    nothing.
    """
    if len(answer.tool_calls) != 1:
        return "no call" if not answer.tool_calls else "tool"
    (call,) = answer.tool_calls
    if call.name != task.name:
        return "tool"
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return "json"
    from jsonschema import Draft202012Validator

    if not Draft202012Validator(task.schema).is_valid(arguments):
        return "schema"
    return "" if arguments == task.arguments else "values"


def _graded(question: Question, answer: Answer, task: ToolTask) -> EvalSample:
    wrong = fault(answer, task)
    called = "; ".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)
    return EvalSample(
        question=question.id,
        answer="\n".join(filter(None, (answer.text, called))),
        score=float(not wrong),
        details=FrozenMap({"fault": wrong, "wanted": f"{task.name}({json.dumps(task.arguments)})"}),
    )
