"""The conformance kit, for the engine and its codec."""

from tokenbench.api import Counters
from tokenbench_testing import CodecKit, EngineKit


class TestTinyEngine(EngineKit):
    name = "tinyengine"
    # From tinyengine 0.1.0 on 2026-11-21, after one answer.
    metrics_page = "tiny_prompt_tokens 3\ntiny_generated_tokens 2\ntiny_running 0\n"
    counters = Counters(prompt_tokens=3, generated_tokens=2, running=0)
    real = "tinymodel"


class TestTinyTalk(CodecKit):
    name = "tiny-talk"
    stream = b'{"word": " the"}\n{"word": " bench"}\n{"in": 3, "out": 2}\n'
    text = " the bench"
    tokens = 2
