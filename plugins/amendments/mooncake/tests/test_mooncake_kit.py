"""The conformance kit."""

from __future__ import annotations

from mooncake_cases import request

from tokenbench_testing import AmendmentKit


class TestMooncake(AmendmentKit):
    name = "mooncake"
    options = {"metadata": "http", "segment_gib": 0.25}
    amends = ("vllm", "sglang")
    requests = (request("server"),)
