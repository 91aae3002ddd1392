"""The model `smollm2` passes the conformance kit."""

from __future__ import annotations

from tokenbench_testing import ModelKit


class TestSmolLm2(ModelKit):
    """All checks, with texts that are difficult for byte-level tokenizers."""

    name = "smollm2"
    texts = ("def f(x):\n    return x ** 2  # 10 %", "<|im_start|>user", "1234567890", " leading")
