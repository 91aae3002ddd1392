"""Writing files whole or not at all, and saying what a full disk means."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenbench.api import MachineError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
        return MachineError(f"the disk is full: cannot write {path}", hint=_free(path))
    return MachineError(
        f"cannot write {path}: {error.strerror or error}",
        hint="check the rights of the run directory, or choose another with --runs",
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        folder = next(parent for parent in path.parents if parent.exists())
        free = shutil.disk_usage(folder).free
        return f"{free / 1e6:.0f} MB are free there; make room, or choose another with --runs"
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
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def append_line(path: Path, data: bytes) -> None:
    """Add one line, on disk when this returns. A failed write leaves the earlier lines whole."""
    with guarded(path), path.open("ab") as file:
        before = file.tell()
        try:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise
