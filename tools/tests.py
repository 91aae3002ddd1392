"""Run every test, in two halves at a time: ``make unit``.

Most of their time tests wait for servers, workers and time limits; two processes on two cores take
little more than half of it. What the first half says is shown when the second has ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Of one length: `tests` would take a minute longer than the rest.
MOVED = "tests/test_errors.py"
HALVES = (("core/tests", "plugins", MOVED), ("tests", f"--ignore={MOVED}"))


def main() -> None:
    """Run both; the exit code is that of the first that failed."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as said:
        first = subprocess.Popen(_command(0), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            second = subprocess.run(_command(1), cwd=ROOT, check=False).returncode
            code = first.wait()
        except BaseException:
            first.terminate()
            first.wait()
            raise
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    print(f"both halves took {(time.monotonic() - begun) / 60:.1f} min")
    sys.exit(code or second)


def _command(half: int) -> list[str]:
    # Each with a cache of its own: they would overwrite each other's.
    cache = f"cache_dir=.pytest_cache/{half}"
    return [sys.executable, "-m", "pytest", "-o", cache, *HALVES[half], *sys.argv[1:]]


if __name__ == "__main__":
    main()
