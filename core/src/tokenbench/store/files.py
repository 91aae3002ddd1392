"""Atomic writes, durable appends, and errors of the file system as MachineError."""

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
    """Convert an OSError into a MachineError that names `path`."""
    try:
        yield
    except OSError as error:
        raise machine_error(error, path) from error


def machine_error(error: OSError, path: Path) -> MachineError:
    """The MachineError for an OSError, with a hint for the user."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return MachineError(
            f"too many open files: cannot write {path}",
            hint="raise the limit of open files (ulimit -n)",
        )
    if error.errno == errno.ENOENT:
        return MachineError(
            f"cannot write {path}: its folder was deleted, or does not exist",
            hint="keep the folders that bench uses, and start it in a folder that exists",
        )
    if error.errno in _FULL:
        return MachineError(
            f"{_FULL[error.errno]}: cannot write {path}", hint=_free_space_hint(path)
        )
    return MachineError(
        f"cannot write {path}: {error.strerror or error}",
        hint="check the permissions of the folder, or choose another with --runs",
    )


def is_machine_error(error: OSError, folder: Path) -> bool:
    """Whether an error concerns a file in `folder` or an exhausted resource."""
    if error.errno in {*_FULL, errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
        return True
    return error.filename is not None and folder in Path(os.fsdecode(error.filename)).parents


def _free_space_hint(path: Path) -> str:
    with contextlib.suppress(OSError):
        folder = next(parent for parent in path.parents if parent.exists())
        free = shutil.disk_usage(folder).free
        return (
            f"the disk has {free / 1e6:.0f} MB free; delete files, or choose another folder with "
            "--runs"
        )
    return "delete files, or choose another folder with --runs"


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file; readers see the old or the new content, never a part.

    Raises:
        MachineError: the file cannot be written; the old content stays.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with guarded(path):
        try:
            with draft.open("wb") as file:
                file.write(data)
            replace_durably(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def write_with_room(path: Path, data: bytes, room: int) -> None:
    """Like :func:`write_atomic`, but reserve `room` bytes as blank space at the end.

    If the disk is full, the file is overwritten in place, which needs no space.

    Raises:
        MachineError: neither is possible.
    """
    padded = data.ljust(room)
    try:
        write_atomic(path, padded)
    except MachineError:
        with contextlib.suppress(OSError), path.open("r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == len(padded) == file.write(padded):
                return
        write_atomic(path, data)


def replace_durably(draft: Path, path: Path) -> None:
    """Rename a finished draft to `path`; its content is synced before, the rename after.

    Raises:
        OSError: from fsync or rename.
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
    """Append one line and sync it. A failed write does not change earlier lines.

    An incomplete last line, left by a crash, is removed first.
    """
    # Unbuffered: after a failed flush, closing a buffered file would write the rest.
    with guarded(path), path.open("a+b", buffering=0) as file:
        before = _complete_length(file)
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


def _complete_length(file: io.FileIO) -> int:
    """Bytes up to the end of the last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
