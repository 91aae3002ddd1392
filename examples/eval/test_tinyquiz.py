"""The conformance kit, with answers whose score is known."""

from tokenbench.api import EvalSample, Question
from tokenbench_testing import EvalKit

PERU = Question(id="Peru", text="What is the capital of Peru?")


class TestTinyQuiz(EvalKit):
    name = "tinyquiz"
    right = ((PERU, EvalSample(question="Peru", answer="It is Lima, on the coast.")),)
    wrong = ((PERU, EvalSample(question="Peru", answer="It is Cusco.")),)
    unparseable = ((PERU, EvalSample(question="Peru", answer="")),)
