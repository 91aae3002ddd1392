"""openai keeps the contract of engines, for each kind of server that it knows."""

from __future__ import annotations

from tokenbench.api import Counters
from tokenbench.testing import EngineKit

# Lines of vLLM 0.32's page, as its documentation of metrics names them (read 2026-11).
_VLLM = """\
vllm:prompt_tokens_total{engine="0",model_name="m"} 100
vllm:prompt_tokens_total{engine="1",model_name="m"} 20
vllm:generation_tokens_total{engine="0",model_name="m"} 7
"""


class TestGeneric(EngineKit):
    """A server of which only the protocol is known."""

    name = "openai"
    options = {"base_url": "http://127.0.0.1:1", "model": "m"}
    metrics_page = "anything 1\n"
    counters = Counters()


class TestVllm(EngineKit):
    """A vLLM server that is already up."""

    name = "openai"
    options = {"base_url": "http://127.0.0.1:1", "model": "m", "server": "vllm"}
    metrics_page = _VLLM
    counters = Counters(prompt_tokens=120.0, generated_tokens=7.0)
