"""Running a function in another interpreter, where what ought to be the same can be seen to be.

Strings hash to other values there, and the time zone is another: what iterates over a set, or calls
:func:`hash`, gives another result.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from .kit import fail, skip

_TIMEOUT_S = 120


def call_in_subprocess(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a fresh interpreter; both it and `arguments` must be picklable.

    Skips where they are not (a factory that is a lambda); refuses where the function raises.
    """
    try:
        job = pickle.dumps((function, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        skip(f"its factory or options cannot be named in another process: {error}")
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=job,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
            "TZ": "Asia/Kathmandu",
        },
    )
    if done.returncode != 0:
        fail(f"in another process: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return pickle.loads(done.stdout)  # noqa: S301 - our own child wrote it


def _main() -> None:
    channel = os.dup(1)
    os.dup2(2, 1)  # what the plugin prints must not mix with the result
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    with os.fdopen(channel, "wb") as out:
        pickle.dump(function(*arguments), out)


if __name__ == "__main__":
    _main()
