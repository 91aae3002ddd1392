"""The eval `toolcalls` passes the conformance kit.

The kit's server answers with text only, so that its answers are wrong; calls are graded in
test_toolcalls.py.
"""

from __future__ import annotations

from tokenbench.api import EvalSample, FrozenMap, Question
from tokenbench_testing import EvalKit

_QUESTION = Question(id="11-0", text="The first question")


def _answered(*answers: str) -> tuple[tuple[Question, EvalSample], ...]:
    return tuple((_QUESTION, EvalSample(question="11-0", answer=text)) for text in answers)


class TestToolCalls(EvalKit):
    """Texts are no calls."""

    name = "toolcalls"
    options = FrozenMap(limit=6)
    right = (
        (
            _QUESTION,
            EvalSample(
                question="11-0", answer="f({})", score=1.0, details=FrozenMap({"fault": ""})
            ),
        ),
    )
    wrong = _answered('{"name": "send_parcel", "arguments": {}}')
    unparseable = _answered("Done!", "???")
