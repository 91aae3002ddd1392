"""The tests' own search for processes."""

from __future__ import annotations

import os
import subprocess
import sys

from processes import marked


def test_any_bytes() -> None:
    """A command line that is no UTF-8, as folders of other tests make them, disturbs no search."""
    line = (sys.executable, "-c", "input()", b"caf\xe9")
    environment = {**os.environ, "TOKENBENCH_TEST_MARK": "test-any-bytes"}
    with subprocess.Popen(line, env=environment, stdin=subprocess.PIPE) as process:
        # Popen returns when the command has been started.
        found = marked("test-any-bytes")
        process.communicate(b"\n")
    assert {pid: words[-1] for pid, words in found.items()} == {process.pid: "caf\udce9"}
    assert marked("test-any") == {}
