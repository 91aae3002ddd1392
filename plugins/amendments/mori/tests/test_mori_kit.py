"""The conformance kit."""

from __future__ import annotations

from mori_cases import request

from tokenbench_testing import AmendmentKit


class TestMori(AmendmentKit):
    name = "mori"
    options = {"heap_gib": 6}
    amends = ("vllm", "sglang", "atom")
    requests = (request("server"), request("prefill", "decode"))
