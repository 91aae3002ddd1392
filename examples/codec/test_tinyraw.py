"""The conformance kit, for the codec and its engine."""

from tokenbench.api import Counters
from tokenbench_testing import CodecKit, EngineKit

# From xllamacpp 2026.10.11549 on 2026-11-30; the last event without its settings.
STREAM = b"""\
data: {"index":0,"content":" Paris","stop":false,"tokens_predicted":1,"tokens_evaluated":5}

data: {"index":0,"content":".","stop":false,"tokens_predicted":2,"tokens_evaluated":5}

data: {"index":0,"content":"","stop":true,"tokens_predicted":2,"tokens_evaluated":5}

"""


class TestCompletion(CodecKit):
    name = "llama-completion"
    stream = STREAM
    text = " Paris."
    tokens = 2


class TestTinyRaw(EngineKit):
    name = "tinyraw"
    metrics_page = "llamacpp:prompt_tokens_total 5\nllamacpp:tokens_predicted_total 2\n"
    counters = Counters(prompt_tokens=5, generated_tokens=2)
