"""Data files that users give to a plugin: finding them, and their hash for a point's identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from .errors import UsageError


def data_files(path: str, *, where: str, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """The file at a path, or the files of a folder, sorted by name.

    Args:
        path: a file with any name, or a folder with files that have one of the suffixes; its
            subfolders are not read.
        where: the option that names the path, for errors (``conversations: file``).
        suffixes: for example ``(".json", ".jsonl")``.

    Raises:
        UsageError: there is no such file.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        found = tuple(sorted(f for f in given.iterdir() if f.suffix in suffixes and f.is_file()))
        if not found:
            raise UsageError(
                f"{where}: the folder {path} has no file with {' or '.join(suffixes)}",
                hint="name the file itself, or another folder",
            )
        return found
    if not given.is_file():
        raise UsageError(f"{where}: there is no file {path}", hint="check the path")
    return (given,)


def data_hash(files: Sequence[Path]) -> str:
    """SHA-256 of the contents of files, in their order, as `Workload.dataset_hash` returns it.

    File names are not hashed. One file has the hash that ``sha256sum`` prints.
    """
    digests = []
    for file in files:
        with file.open("rb") as data:
            digests.append(hashlib.file_digest(data, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
