"""Records calls as JSON lines in the file that the test names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tokenbench.plan.canonical import plain

FILE = "RECORDING_NOTES"


def note(member: str, **facts: Any) -> None:
    """Append a call; does nothing without a file."""
    if name := os.environ.get(FILE):
        line = json.dumps({"member": member, **plain(facts)}) + "\n"
        with Path(name).open("a") as out:
            out.write(line)
