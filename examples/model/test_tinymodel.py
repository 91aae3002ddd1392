"""The conformance kit."""

from tokenbench.testing import ModelKit


class TestTinyModel(ModelKit):
    name = "tinymodel"
