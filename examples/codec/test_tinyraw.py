"""The conformance kit, for the codec and its engine."""

from tokenbench.api import Counters
from tokenbench.testing import CodecKit, EngineKit


class TestCompletion(CodecKit):
    name = "llama-completion"
    stream = (
        b'data: {"index":0,"content":" Paris","stop":false,"tokens_predicted":1,'
        b'"tokens_evaluated":5}\n\n'
    )
    text = " Paris."
    tokens = 2


class TestTinyRaw(EngineKit):
    name = "tinyraw"
    metrics_page = "llamacpp:prompt_tokens_total 5\nllamacpp:tokens_predicted_total 2\n"
    counters = Counters(prompt_tokens=5, generated_tokens=2)
