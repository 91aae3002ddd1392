"""Chooses between the optional C extension, ``_native.c``, and its replacement in Python.

The extension has the classes :class:`.poller.Poller`, :class:`.token_reader.TokenReader` and
:class:`.timestamps.Timestamps`. Their Python versions are used if it was not compiled, or if the
environment has ``TOKENBENCH_PURE=1``: same results, more CPU per token.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .poller import Poller
from .timestamps import Timestamps

if TYPE_CHECKING:
    from .socket_timestamps import Receiver
    from .token_reader import Owner, TokenReader


def _load() -> Any:
    if os.environ.get("TOKENBENCH_PURE"):
        return None
    try:
        from . import _native  # type: ignore[attr-defined]
    except ImportError:
        return None
    return _native


module = _load()


def poller() -> Poller:
    """A poller for an event loop."""
    return Poller() if module is None else module.Poller()


timestamps: Callable[[], Timestamps] = (
    partial(Timestamps, "q") if module is None else module.Timestamps
)
"""Empty timestamps for one request."""


def path() -> str:
    """Which request path this process uses: ``compiled`` or ``python``."""
    return "python" if module is None else "compiled"


def is_compiled(poller: Poller) -> bool:
    """Whether a poller is compiled. Compiled readers require a compiled poller."""
    return module is not None and isinstance(poller, module.Poller)


def token_reader(fd: int, owner: Owner, receiver: Receiver) -> TokenReader:
    """A compiled reader of a plain socket."""
    reader: TokenReader = module.TokenReader(fd, owner, receiver, receiver.poller)
    return reader
