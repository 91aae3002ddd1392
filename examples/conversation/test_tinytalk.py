"""The conformance kit."""

from tokenbench_testing import WorkloadKit


class TestTinyTalk(WorkloadKit):
    name = "tinytalk"
    options = {"answer_tokens": 4}
