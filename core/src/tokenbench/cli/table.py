"""Plain tables and text that is safe to print."""

from __future__ import annotations

from collections.abc import Collection

from .streams import echo

_WIDEST = 60


def print_table(table: list[list[str]], *, right: Collection[int] = ()) -> None:
    """Print rows in columns.

    Args:
        right: indices of columns to align to the right. The last column is never padded or cut.
    """
    table = [[printable(cell)[:_WIDEST] for cell in row[:-1]] + row[-1:] for row in table]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
