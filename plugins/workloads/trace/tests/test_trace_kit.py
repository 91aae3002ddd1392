"""The workload `trace` passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

from tokenbench.api import FrozenMap
from tokenbench_testing import WorkloadKit


class TestSessions(WorkloadKit):
    """Generated sessions with sub-agents, in the format of Weka."""

    name = "trace"
    options = FrozenMap(file=str(Path(__file__).parent / "data" / "weka.jsonl"))
