"""The conformance kit."""

from tokenbench.testing import WorkloadKit


class TestTinyTalk(WorkloadKit):
    name = "tinytalk"
    options = {"turns": 3, "answer_tokens": 4}
