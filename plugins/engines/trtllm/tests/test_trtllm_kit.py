"""The engine `trtllm` passes the conformance kit."""

from __future__ import annotations

from test_trtllm_server import PAGE
from tokenbench_engine_trtllm.counters import counters

from tokenbench.api import parse_metrics
from tokenbench_testing import EngineKit


class TestTrtllm(EngineKit):
    """All checks but those with a real server. The page's numbers are in test_trtllm_server."""

    name = "trtllm"
    metrics_page = PAGE
    counters = counters(parse_metrics(PAGE))
