"""docs/reference/sglang-inferencex.md says of plans what they say themselves."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PAGE = (ROOT / "docs/reference/sglang-inferencex.md").read_text()
_PLANS = (ROOT / "docs/reference/sglang-plans.md").read_text()


def _rows() -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in _PAGE.splitlines()]
    return [row for row in rows if (len(row) == 3 and row[0].startswith("`")) or "no `" in row[0]]


def test_plans_have_what_the_tables_say() -> None:
    """Each flag with its value in the second column is in a plan."""
    rows = _rows()
    assert len(rows) > 20
    flags = [flag for row in rows for flag in re.findall(r"`(--[^`]*)`", row[1])]
    assert len(flags) >= 10
    for flag in flags:
        for part in re.findall(r"--[\w-]+(?: [^-\s]\S*)?", flag):
            if " URL" not in part:
                assert part in _PLANS, part


def test_what_is_left_out_is_in_no_plan() -> None:
    """Flags and variables of the first column whose second says so."""
    left_out = [row for row in _rows() if row[1] == "left out"]
    assert len(left_out) > 10
    for row in left_out:
        for name in re.findall(r"`(--[\w-]+|[A-Z_]{4,})", row[0]):
            if name not in ("--ep-size", "--chunked-prefill-size"):
                assert name not in _PLANS, name
