"""The standard streams of `bench`, whatever they are connected to.

A closed stream is opened on the null device. Standard error is for progress: errors in writing it,
such as a closed pipe or a full disk, are ignored. Standard output belongs to the command's own
text, printed with :func:`echo`; what plugins print goes to standard error.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

_GONE = {errno.EPIPE, errno.EIO, errno.ENXIO}  # EIO, ENXIO: the terminal hung up.
_ERRORS = "tokenbench.paths"
_COLUMNS = 120


class _Output(io.RawIOBase):
    """Writes to a descriptor. After the first error, kept in `error`, it writes nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.error: OSError | None = None

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        while self.error is None:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # Another program made the pipe or terminal non-blocking.
                select.select([], [self._fd], [])
            except OSError as error:
                self.error = error
        return len(data)


class _Kept:
    """The stream that commands print to, once :func:`plugins_apart` has put it aside."""

    stream: TextIO | None = None
    raw: _Output | None = None


def prepare() -> None:
    """Open closed streams, and ignore errors in writing standard error."""
    _open_closed()
    codecs.register_error(_ERRORS, _as_bytes)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Output(2), "backslashreplace")


def output() -> TextIO:
    """Where a command's own text goes."""
    return _Kept.stream or sys.stdout


def echo(text: str = "") -> None:
    """Print a line of the command's own text."""
    click.echo(text, file=output())


def write_bytes(content: bytes) -> None:
    """Print bytes as they are."""
    stream = output()
    stream.flush()
    stream.buffer.write(content)
    stream.buffer.flush()


def coloured(stream: TextIO) -> bool:
    """Whether a stream may get colours: a terminal that has them, without NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and not is_dumb()


def columns(stream: TextIO) -> int:
    """The width of a stream in characters: COLUMNS, or that of the terminal."""
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ["COLUMNS"]) or _COLUMNS
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def is_dumb() -> bool:
    """Whether the terminal understands no escape sequences."""
    return os.environ.get("TERM", "").lower() in {"", "dumb", "unknown"}


def lost_output() -> OSError | None:
    """Why the command's own text could not be written; None if it was, or if its reader is gone."""
    error = _Kept.raw.error if _Kept.raw is not None else None
    return None if error is None or error.errno in _GONE else error


@contextlib.contextmanager
def plugins_apart() -> Iterator[None]:
    """Send all that is not printed with :func:`echo` to standard error, also by child processes."""
    shown = sys.stdout
    try:
        with _second_output() if shown is sys.__stdout__ else contextlib.nullcontext():
            _Kept.stream = _Kept.stream or shown
            sys.stdout = sys.stderr
            yield
    finally:
        sys.stdout, _Kept.stream = shown, None


@contextlib.contextmanager
def _second_output() -> Iterator[None]:
    sys.stdout.flush()
    kept = os.dup(1)
    _Kept.raw = _Output(kept)
    stream = _Kept.stream = _text(_Kept.raw, _ERRORS)
    os.dup2(2, 1)
    try:
        yield
    finally:
        stream.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _open_closed() -> None:
    """Open the streams that were closed at the start; else the next open file would take their
    descriptors.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free descriptor, so this one. Children inherit it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            stream = open(fd, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _text(raw: _Output, errors: str) -> TextIO:
    encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True
    )


def _as_bytes(error: UnicodeError) -> tuple[bytes | str, int]:
    """Paths that are not in the encoding are printed as they are on disk; what the encoding lacks
    is printed as an escape.
    """
    assert isinstance(error, UnicodeEncodeError)
    handler = "surrogateescape" if "\udc80" <= error.object[error.start] <= "\udcff" else None
    return codecs.lookup_error(handler or "backslashreplace")(
        UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, "")
    )


class Command(click.Command):
    """A command in which plugins run: its standard output has only its own text."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            with plugins_apart():
                return super().invoke(ctx)
        except BrokenPipeError as error:
            # Not of a standard stream; click would exit without a message.
            raise RuntimeError("a pipe to another process broke") from error
