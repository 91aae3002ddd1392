"""The optional C extension, ``_native.c``, and what stands in for it.

It has the classes :class:`.poller.Poller`, :class:`.token_reader.TokenReader` and
:class:`.timestamps.Timestamps`. Their Python versions are used where it was not compiled, and where
the environment has ``TOKENBENCH_PURE=1``: same results, more CPU per token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .poller import Poller
from .timestamps import Timestamps

if TYPE_CHECKING:
    from .socket_timestamps import Receiver
    from .token_reader import Owner, TokenReader


def _load() -> Any:
    """The C extension; None where it is not installed or not wanted."""
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


def timestamps() -> Timestamps:
    """Empty timestamps for a turn."""
    return Timestamps("q") if module is None else module.Timestamps()


def path() -> str:
    """Which request path this process uses: ``compiled`` or ``python``."""
    return "python" if module is None else "compiled"


def compiled(made: Poller) -> bool:
    """Whether `made` is a compiled poller, which compiled readers need."""
    return module is not None and isinstance(made, module.Poller)


def reader(fd: int, owner: Owner, receiver: Receiver) -> TokenReader:
    """A compiled reader of a plain socket."""
    made: TokenReader = module.TokenReader(fd, owner, receiver, receiver.poller)
    return made
