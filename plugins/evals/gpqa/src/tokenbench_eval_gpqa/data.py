"""Reads the questions from the user's file.

The data set is gated: its authors ask not to publish examples, so none is here or in a result.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from tokenbench.api import UsageError

DATA_VARIABLE = "TOKENBENCH_GPQA"
_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_COLUMNS = ("Question", "Correct Answer", *_WRONG)


@attrs.frozen
class Item:
    """One question with its answers. `domain`: such as Physics."""

    id: str
    question: str
    right: str
    wrong: tuple[str, ...]
    domain: str


def data_file(given: str | None) -> Path:
    """The file with the questions.

    Raises:
        UsageError: none is given, or it does not exist.
    """
    name = given or os.environ.get(DATA_VARIABLE)
    if name is None:
        raise UsageError(
            "eval gpqa: no data file",
            hint=f"use gpqa:data=gpqa_diamond.csv, or set {DATA_VARIABLE}; the data set is gated, "
            "its page on the Hugging Face hub (Idavidrein/gpqa) says how to get it",
        )
    file = Path(name).expanduser()
    if not file.is_file():
        raise UsageError(f"eval gpqa: no such file: {file}", hint="check data=")
    return file.resolve()


def read_items(file: Path) -> list[Item]:
    """All questions of a file, in order.

    Raises:
        UsageError: it cannot be read, or a column is missing.
    """
    try:
        rows = list(_rows(file))
    except (OSError, ValueError) as error:
        raise UsageError(f"eval gpqa: could not read {file}: {error}", hint="check data=") from None
    missing = [name for name in _COLUMNS if not rows or not rows[0].get(name)]
    if missing:
        raise UsageError(
            f"eval gpqa: {file} has no column {missing[0]!r}",
            hint=f"columns: {', '.join(_COLUMNS)}; also used: Record ID, High-level domain",
        )
    return [_item(number, row) for number, row in enumerate(rows)]


def _rows(file: Path) -> Iterator[Mapping[str, str]]:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def _item(number: int, row: Mapping[str, str]) -> Item:
    return Item(
        id=row.get("Record ID") or str(number),
        question=row["Question"].strip(),
        right=row["Correct Answer"].strip(),
        wrong=tuple(row[name].strip() for name in _WRONG),
        domain=row.get("High-level domain") or "",
    )
