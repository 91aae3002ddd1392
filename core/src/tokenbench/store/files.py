"""Writing files whole or not at all, and saying what a full disk means."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenbench.api import MachineError

_BLOCK = 65536
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn an error of the file system into a MachineError that names `path`."""
    try:
        yield
    except OSError as error:
        raise machine_error(error, path) from error


def machine_error(error: OSError, path: Path) -> MachineError:
    """What an error of the file system means to the user."""
    if error.errno in _FULL:
        return MachineError(f"{_FULL[error.errno]}: cannot write {path}", hint=_free(path))
    return MachineError(
        f"cannot write {path}: {error.strerror or error}",
        hint="check the rights of the run directory, or choose another with --runs",
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        folder = next(parent for parent in path.parents if parent.exists())
        free = shutil.disk_usage(folder).free
        return (
            f"the disk has {free / 1e6:.0f} MB free; make room, or choose another run directory "
            "with --runs"
        )
    return "make room, or choose another run directory with --runs"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for half of it.

    Raises:
        MachineError: it cannot be written; nothing is left under its name that was not there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with guarded(path):
        try:
            with draft.open("wb") as file:
                file.write(data)
            settle(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def settle(draft: Path, path: Path) -> None:
    """Give a finished draft its name, its content on disk before and its name after.

    Raises:
        OSError: the disk refused.
    """
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def append_line(path: Path, data: bytes) -> None:
    """Add one line, on disk when this returns. A failed write leaves the earlier lines whole.

    A last line that an earlier crash cut is dropped first: this one must not be glued to it.
    """
    # Unbuffered: what a failed flush left in a buffer, closing would write after the truncation.
    with guarded(path), path.open("a+b", buffering=0) as file:
        before = _whole_lines(file)
        file.truncate(before)
        rest = data + b"\n"
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def _whole_lines(file: io.FileIO) -> int:
    """Bytes up to the end of the last line that has an end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
