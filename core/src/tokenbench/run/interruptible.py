"""Long calls that the user can interrupt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tokenbench.api import Interrupted

_POLL_S = 0.05

T = TypeVar("T")


def interruptible(call: Callable[[], T], interrupted: Callable[[], bool]) -> T:
    """The result of `call`, which runs in a thread of its own.

    A signal does not end a call that waits for a server. After an interruption the thread continues
    until the time limit of its call, or the end of the process.

    Raises:
        Interrupted: the user stopped the run.
    """
    outcome: dict[str, Any] = {}
    done = threading.Event()

    def run() -> None:
        try:
            outcome["result"] = call()
        except BaseException as error:
            outcome["error"] = error
        finally:
            done.set()

    threading.Thread(target=run, name="interruptible", daemon=True).start()
    while not done.wait(_POLL_S):
        if interrupted():
            raise Interrupted("interrupted while waiting for the server", hint="run it again")
    if "error" in outcome:
        raise outcome["error"]
    result: T = outcome["result"]
    return result
