"""``TOKENBENCH_TRACE=1``: prints every call into a plugin, with its result, on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
VARIABLE = "TOKENBENCH_TRACE"
_LONGEST = 200


def traced(plugin: str, what: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `function`, and print the call if tracing is on."""
    if not os.environ.get(VARIABLE):
        return function(*args, **kwargs)
    given = ", ".join([*map(_short, args), *(f"{k}={_short(v)}" for k, v in kwargs.items())])
    begun = time.perf_counter()
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        _print(f"{plugin} {what}({given}) raised {_short(error)}", begun)
        raise
    _print(f"{plugin} {what}({given}) -> {_short(result)}", begun)
    return result


def _print(text: str, begun: float) -> None:
    line = f"trace: {text} ({(time.perf_counter() - begun) * 1e3:.1f} ms)"
    print("".join(c if c.isprintable() else " " for c in line), file=sys.stderr)  # noqa: T201


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
