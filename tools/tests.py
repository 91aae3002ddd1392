"""Run every test, two packets at a time: ``make unit``.

Most of their time tests wait for servers, workers and time limits; two processes on two cores take
little more than half of it. Whoever has ended a packet takes the next one, so that both end
together, on whatever machine. What a packet says is shown when it has ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 2
# The longest first: the last ones fill what is left.
APART = ("tests/test_plugins.py", "tests/test_run.py", "tests/test_errors.py")
KIT = "core/tests/testing"
PACKETS = (
    ("tests", *(f"--ignore={file}" for file in APART)),
    ("core/tests", f"--ignore={KIT}"),
    (APART[0],),
    ("plugins",),
    (KIT,),
    *((file,) for file in APART[1:]),
)


def main() -> None:
    """Run all; the exit code is that of the first packet that failed."""
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as lanes:
        try:
            codes = list(lanes.map(_run, range(len(PACKETS))))
        except BaseException:  # Ctrl-C ends those that run; the others shall not begin.
            lanes.shutdown(wait=False, cancel_futures=True)
            raise
    print(f"all packets took {(time.monotonic() - begun) / 60:.1f} min")
    sys.exit(next((code for code in codes if code), 0))


_SAYING = threading.Lock()


def _run(packet: int) -> int:
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            list(_command(packet)),
            cwd=ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said.seek(0)
        with _SAYING:
            sys.stdout.buffer.write(said.read())
            sys.stdout.buffer.flush()
    return done.returncode


def _command(packet: int) -> Iterator[str]:
    yield from (sys.executable, "-m", "pytest")
    # Each with a cache of its own: they would overwrite each other's.
    yield from ("-o", f"cache_dir=.pytest_cache/{packet}")
    yield from PACKETS[packet]
    yield from sys.argv[1:]


if __name__ == "__main__":
    main()
