"""A node program that finds what its options say, and writes a line for each probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def probe(options: dict[str, Any]) -> Any:
    if options.get("log"):
        with Path(options["log"]).open("a") as out:
            out.write("probed\n")
    return json.loads(options["found"])


def sampler(options: dict[str, Any], devices: list[int]) -> None:
    pass
