"""The conformance kit."""

from __future__ import annotations

from nixl_cases import request

from tokenbench_testing import AmendmentKit


class TestNixl(AmendmentKit):
    name = "nixl"
    options = {"devices": ["mlx5_0:1"]}
    # What vLLM and SGLang send by stands in their flags, which the kit's plans do not have.
    amends = ("trtllm",)
    requests = (request("prefill", "decode", sku="gb200"),)
