"""Errors that mean: the prompt does not fit into the server's context."""

from __future__ import annotations

import re

# From vLLM 0.32 ("maximum context length is N tokens", "longer than the maximum model length"),
# SGLang 0.5 ("longer than the model's context length"), llama.cpp ("exceeds the available context
# size"), TensorRT-LLM ("exceeds maximum input length"), the OpenAI API (code
# context_length_exceeded).
_OVERFLOW = re.compile(
    r"context_length_exceeded|maximum context length|exceeds?_?.{0,40}context.size"
    r"|longer than the (model's|maximum).{0,20}(context|model) length"
    r"|exceeds?.{0,20}max(imum)?.{0,4}(input|prompt|model).{0,4}(length|len)",
    re.IGNORECASE,
)


def is_overflow(error: str) -> bool:
    """Whether a server's error says that the prompt is too long for its context."""
    return _OVERFLOW.search(error) is not None
