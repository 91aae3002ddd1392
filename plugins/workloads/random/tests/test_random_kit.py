"""The conformance kit, on `random`."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench.testing import WorkloadKit


class TestRandom(WorkloadKit):
    """Prompts and answers of lengths in a range, with a common prefix."""

    name = "random"
    options = FrozenMap(
        input_tokens=64, output_tokens=16, input_range=0.5, output_range=0.5, prefix_tokens=8
    )


class TestRandomChat(WorkloadKit):
    """Messages wherever they can be sent, one length for all."""

    name = "random"
    options = FrozenMap(input_tokens=32, output_tokens=8, format="chat")
