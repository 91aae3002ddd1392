"""What a scripted server really sent."""

from __future__ import annotations

import json
import time


class Truth:
    """What was really sent for one request: times (monotonic, ns) and tokens."""

    def __init__(self, number: int, n_in: int) -> None:
        self.number, self.n_in = number, n_in
        self.received_ns = time.monotonic_ns()
        self.sent_ns: list[int] = []
        self.tokens: list[int] = []

    def sent(self, tokens: int) -> None:
        """A chunk was written."""
        self.sent_ns.append(time.monotonic_ns())
        self.tokens.append(tokens)

    def append_to(self, file: str) -> None:
        """Append it as one line."""
        with open(file, "a", encoding="utf-8") as out:  # noqa: PTH123 - as given on the command line
            out.write(json.dumps(vars(self)) + "\n")
