"""The engine `dynamo` passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

from tokenbench.api import Counters
from tokenbench_testing import EngineKit

_PAGE = Path(__file__).parent / "captured" / "mocker-agg.txt"


class TestDynamo(EngineKit):
    """With workers of the engine vllm, which core gives. All checks but those with the real server,
    which has tests of its own (tests/test_dynamo_real.py).
    """

    name = "dynamo"
    # Of a worker that took two requests.
    metrics_page = _PAGE.read_text(encoding="utf-8")
    counters = Counters(requests=2.0, running=0.0, waiting=0.0, preemptions=0.0, kv_usage=0.0)
