"""Calls a function in another interpreter, to check that its result is deterministic.

The other interpreter has another hash seed and time zone: results that depend on the order of a
set, on :func:`hash` or on local time differ there.
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
    """The result of `function` in a fresh interpreter. It and `arguments` must be picklable.

    Skips if they are not (a factory that is a lambda); fails if the function raises.
    """
    try:
        job = pickle.dumps((function, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        skip(f"could not pickle its factory or options: {error}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
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
        fail(f"failed in another process: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return pickle.loads(done.stdout)  # noqa: S301 - our own child wrote it


def _main() -> None:
    channel = os.dup(1)
    os.dup2(2, 1)  # keeps the plugin's output apart from the result
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    with os.fdopen(channel, "wb") as out:
        pickle.dump(function(*arguments), out)


if __name__ == "__main__":
    _main()
