"""Typed access to the fields of another program's file, with errors that name the place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import UsageError

Scalar = str | int | float | bool | None


@attrs.frozen
class Place:
    """A file, the number of a result in it (`row`, from 1), and the line where it begins."""

    file: Path
    row: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.line is not None:
            return f"{self.file}:{self.line}"
        return str(self.file) if self.row is None else f"{self.file}, row {self.row}"

    def error(self, message: str, hint: str) -> UsageError:
        """An error at this place."""
        return UsageError(f"{self}: {message}", hint=hint)


@attrs.frozen
class Fields:
    """A mapping of a file. Missing and empty fields are None; a field of a wrong type is an error.

    `path`: the mapping's place in the document, for messages. `text`: whether all values are text,
    as in CSV; otherwise numbers must not be text.
    """

    values: Mapping[str, Any]
    place: Place
    path: str = ""
    text: bool = False

    def get(self, key: str) -> Any:
        """The value as it is; None if the field is missing or empty."""
        value = self.values.get(key)
        return None if value == "" else value

    def section(self, key: str) -> Fields:
        """A mapping in a field; an empty one if the field is missing."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self.wrong(key, "a mapping", value)
        return attrs.evolve(self, values=value, path=f"{self.path}{key}.")

    def number(self, key: str) -> float | None:
        """A finite number."""
        value = self.get(key)
        if value is None:
            return None
        if self.text:
            try:
                value = float(value)
            except ValueError:
                raise self.wrong(key, "a number", value) from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number", value)
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if not math.isfinite(found):
            raise self.wrong(key, "a number", value)
        return found

    def count(self, key: str) -> int | None:
        """A number without a fraction, at least 0."""
        value = self.number(key)
        if value is None:
            return None
        if value < 0 or value != int(value):
            raise self.wrong(key, "a count", self.get(key))
        return int(value)

    def word(self, key: str) -> str | None:
        """Text."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(key, "text", value)
        return value

    def flag(self, key: str) -> bool | None:
        """A truth value; in CSV ``true`` or ``false``."""
        value = self.get(key)
        if self.text and isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def require(self, *keys: str) -> None:
        """Check that these fields are there and not empty."""
        missing = [f"{self.path}{key}" for key in keys if self.get(key) is None]
        if missing:
            raise self.place.error(
                f"no value for {', '.join(missing)}",
                "the file has another format or version, or is incomplete; set the format with "
                "--format",
            )

    def wrong(self, key: str, expected: str, value: Any) -> UsageError:
        """The error for a value that is not what was expected."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        return self.place.error(
            f"{self.path}{key}: expected {expected}, got {shown}",
            "the file was edited, or is of another format or version",
        )
