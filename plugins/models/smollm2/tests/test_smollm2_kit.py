"""The model `smollm2` keeps the contract of its kind."""

from __future__ import annotations

from tokenbench.testing import ModelKit


class TestSmolLm2(ModelKit):
    """The conformance kit, with texts that a byte-level tokenizer may trip over."""

    name = "smollm2"
    texts = ("def f(x):\n    return x ** 2  # 10 %", "<|im_start|>user", "1234567890", " leading")
