"""The reporter `inferencex` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import ReporterKit


class TestInferenceX(ReporterKit):
    """With default options."""

    name = "inferencex"


class TestInferenceXNamed(ReporterKit):
    """With all options."""

    name = "inferencex"
    options = FrozenMap(image="org/image:1", model_prefix="dsr1")
