"""The conformance kit."""

from tokenbench_testing import ModelKit


class TestTinyModel(ModelKit):
    name = "tinymodel"
