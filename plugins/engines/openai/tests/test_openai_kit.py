"""The engine `openai` passes the conformance kit, for two kinds of server."""

from __future__ import annotations

from tokenbench.api import Counters
from tokenbench_testing import EngineKit

# Lines of vLLM 0.32's page, from its documentation of metrics (read 2026-11).
_VLLM = """\
vllm:prompt_tokens_total{engine="0",model_name="m"} 100
vllm:prompt_tokens_total{engine="1",model_name="m"} 20
vllm:generation_tokens_total{engine="0",model_name="m"} 7
"""


class TestGeneric(EngineKit):
    """A server without known metrics."""

    name = "openai"
    options = {"base_url": "http://127.0.0.1:1", "model": "m"}
    metrics_page = "anything 1\n"
    counters = Counters()


class TestVllm(EngineKit):
    """A running vLLM server."""

    name = "openai"
    options = {"base_url": "http://127.0.0.1:1", "model": "m", "server": "vllm"}
    metrics_page = _VLLM
    counters = Counters(prompt_tokens=120.0, generated_tokens=7.0)
