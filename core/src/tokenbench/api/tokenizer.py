"""Tokenizers from a ``tokenizer.json``, with the library `tokenizers` (an extra; imported when one
is made).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import OptionalFeatureMissing, UsageError
from .model import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


def read_tokenizer(
    file: Path, *, where: str = "tokenizer", install: str = "pip install tokenizers"
) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``.

    Args:
        where: what it is for, at the start of errors.
        install: the command that installs the library, for an error's hint.

    Raises:
        OptionalFeatureMissing: the library is not installed.
        UsageError: the file is missing or damaged.
    """
    try:
        from tokenizers import Tokenizer as Fast
    except ImportError as error:
        raise OptionalFeatureMissing(
            f"{where}: the library tokenizers is not installed", hint=install
        ) from error
    hint = f"name a folder that contains the model's {TOKENIZER_FILE}"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{where}: cannot read {file}: {reason}", hint=hint) from error
    try:
        fast = Fast.from_str(text)
    except Exception as error:  # The library raises plain exceptions.
        raise UsageError(f"{where}: {file} is not a tokenizer: {error}", hint=hint) from error
    # A file may cut or pad texts to the length of its training examples.
    fast.no_truncation()
    fast.no_padding()
    # Tokens that were added to the vocabulary are marks and reserved places, not plain text.
    return LibraryTokenizer(fast, special_ids=fast.get_added_tokens_decoder())


class LibraryTokenizer(Tokenizer):
    """A ``tokenizers.Tokenizer`` that encodes plain text, without special tokens."""

    def __init__(self, tokenizer: Any, *, special_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(special_ids)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, including added tokens."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are not plain text."""
        return self._special

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
