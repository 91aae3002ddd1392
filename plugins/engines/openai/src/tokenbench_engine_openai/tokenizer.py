"""A model's tokenizer from its tokenizer.json."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tokenbench.api import OptionalFeatureMissing, Tokenizer, UsageError

_NAME = "tokenizer.json"


def file_hash(folder: str) -> str:
    """SHA-256 of the file in `folder`.

    Raises:
        UsageError: it cannot be read.
    """
    path = Path(folder).expanduser() / _NAME
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            f"engine openai: tokenizer: cannot read {path}: {error.strerror}",
            hint="name the folder that contains the model's tokenizer.json",
        ) from error


class FolderTokenizer(Tokenizer):
    """Encodes plain text without special tokens, with the `tokenizers` library.

    Raises:
        OptionalFeatureMissing: the library is not installed.
        UsageError: the file is missing or damaged.
    """

    def __init__(self, folder: str) -> None:
        try:
            from tokenizers import Tokenizer as Fast
        except ImportError as error:
            raise OptionalFeatureMissing(
                "engine openai: the option tokenizer needs the library tokenizers",
                hint="pip install 'tokenbench-engine-openai[tokenizer]'",
            ) from error
        file_hash(folder)
        path = Path(folder).expanduser() / _NAME
        try:
            self._fast = Fast.from_file(str(path))
        except Exception as error:  # The library raises plain exceptions.
            raise UsageError(
                f"engine openai: tokenizer: {path} is not a tokenizer: {error}",
                hint="name the folder that contains the model's tokenizer.json",
            ) from error
        # A file may cut or pad texts to the length of its training examples.
        self._fast.no_truncation()
        self._fast.no_padding()
        # Tokens that were added to the vocabulary are marks and reserved places, not plain text.
        self._special = frozenset(self._fast.get_added_tokens_decoder())

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self._fast.get_vocab_size())

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of added tokens."""
        return self._special

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text."""
        return tuple(self._fast.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        return str(self._fast.decode(list(ids), skip_special_tokens=False))
