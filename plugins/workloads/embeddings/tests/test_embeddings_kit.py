"""The workload `embeddings` passes the conformance kit."""

from __future__ import annotations

from tokenbench.api import FrozenMap
from tokenbench_testing import WorkloadKit


class TestOne(WorkloadKit):
    """One input a request."""

    name = "embeddings"
    options = FrozenMap(input_tokens=24, input_range=0.5)


class TestBatch(WorkloadKit):
    """Several."""

    name = "embeddings"
    options = FrozenMap(input_tokens=12, batch=3)
