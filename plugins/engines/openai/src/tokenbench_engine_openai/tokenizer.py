"""A model's tokenizer from its tokenizer.json."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tokenbench.api import TOKENIZER_FILE, Tokenizer, UsageError, read_tokenizer

_WHERE = "engine openai: tokenizer"


def file_hash(folder: str) -> str:
    """SHA-256 of the file in `folder`.

    Raises:
        UsageError: it cannot be read.
    """
    path = _file(folder)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            f"{_WHERE}: cannot read {path}: {error.strerror}",
            hint=f"name the folder that contains the model's {TOKENIZER_FILE}",
        ) from error


def folder_tokenizer(folder: str) -> Tokenizer:
    """The tokenizer in `folder`. Raises like :func:`read_tokenizer`."""
    install = "pip install 'tokenbench-engine-openai[tokenizer]'"
    return read_tokenizer(_file(folder), where=_WHERE, install=install)


def _file(folder: str) -> Path:
    return Path(folder).expanduser() / TOKENIZER_FILE
