"""The graded samples of an eval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_sample_lines(file: Path) -> list[dict[str, Any]]:
    """The samples in a file as plain data, without lines that are damaged. Empty without a file."""
    if not file.exists():
        return []
    found = []
    for line in file.read_bytes().split(b"\n"):  # Answers may contain other ends of lines.
        try:
            sample = json.loads(line)
        except ValueError:
            continue
        if isinstance(sample, dict) and isinstance(sample.get("question"), str):
            found.append(sample)
    return found
