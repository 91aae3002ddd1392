"""The workload `random` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import WorkloadKit


class TestRandom(WorkloadKit):
    """Lengths in a range, with a common prefix."""

    name = "random"
    options = FrozenMap(
        input_tokens=64, output_tokens=16, input_range=0.5, output_range=0.5, prefix_tokens=8
    )


class TestRandomChat(WorkloadKit):
    """Chat messages, with one length."""

    name = "random"
    options = FrozenMap(input_tokens=32, output_tokens=8, format="chat")
