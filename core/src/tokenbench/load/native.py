"""The compiled part of the request path, where there is one: ``_native.c``.

It holds twins of three classes, :class:`.poll.Poll`, :class:`.reading.TokenReader` and
:class:`.stamps.Stamps`, which stay the description of what it does; their tests run on both. It is
built with the package on Linux where a C compiler is found (``core/hatch_build.py``); everywhere
else, and where the environment has TOKENBENCH_PURE=1, the classes are used themselves: the same
stamps, at half as much CPU again.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import COMPILED
from .poll import Poll
from .stamps import Stamps

if TYPE_CHECKING:
    from .reading import Owner, TokenReader
    from .receive import Receiver


def _load() -> Any:
    """The compiled module; None where there is none, or one of another source (a checkout that was
    changed and not installed again).
    """
    if os.environ.get("TOKENBENCH_PURE"):
        return None
    try:
        from . import _native  # type: ignore[attr-defined]
    except ImportError:
        return None
    source = Path(__file__).with_name("_native.c")
    if source.exists() and zlib.crc32(source.read_bytes()) != _native.SOURCE:
        return None
    return _native


module = _load()


def poll() -> Poll:
    """The poll of a reactor."""
    return Poll() if module is None else module.Poll()


def stamps() -> Stamps:
    """Those of a turn that begins."""
    return Stamps("q") if module is None else module.Stamps()


def path() -> str:
    """Which request path this installation has: ``compiled``, ``python``, or what is compiled of
    it: ``compiled tokens`` (this module), ``compiled requests`` (see ``built.py``).
    """
    made = {"tokens": module is not None, "requests": COMPILED}
    if all(made.values()):
        return "compiled"
    return next((f"compiled {part}" for part, there in made.items() if there), "python")


def compiled(polled: Poll) -> bool:
    """Whether this is a compiled poll; then sockets can be read by a compiled reader."""
    return module is not None and isinstance(polled, module.Poll)


def reader(fd: int, owner: Owner, receiver: Receiver) -> TokenReader:
    """What reads a plain socket."""
    made: TokenReader = module.TokenReader(fd, owner, receiver, receiver.poll)
    return made
