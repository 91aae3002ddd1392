"""The workload `prefix` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import WorkloadKit


class TestMixed(WorkloadKit):
    """Groups by Zipf's law."""

    name = "prefix"
    options = FrozenMap(groups=4, prefix_tokens=24, suffix_tokens=8, output_tokens=4, zipf=1.0)


class TestGrouped(WorkloadKit):
    """One group after the other."""

    name = "prefix"
    options = FrozenMap(
        groups=3, prompts=2, prefix_tokens=24, suffix_tokens=8, output_tokens=4, order="grouped"
    )
