"""The optional C extension, ``_native.c``, and what stands in for it.

It has the classes :class:`.poll.Poll`, :class:`.reading.TokenReader` and :class:`.stamps.Stamps`.
Their Python versions are used where it was not compiled, and where the environment has
``TOKENBENCH_PURE=1``: same results, more CPU per token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .poll import Poll
from .stamps import Stamps

if TYPE_CHECKING:
    from .reading import Owner, TokenReader
    from .receive import Receiver


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


def poll() -> Poll:
    """The poll of a reactor."""
    return Poll() if module is None else module.Poll()


def stamps() -> Stamps:
    """Those of a turn that begins."""
    return Stamps("q") if module is None else module.Stamps()


def path() -> str:
    """Which request path this process uses: ``compiled`` or ``python``."""
    return "python" if module is None else "compiled"


def compiled(polled: Poll) -> bool:
    """Whether this is a compiled poll; then sockets can be read by a compiled reader."""
    return module is not None and isinstance(polled, module.Poll)


def reader(fd: int, owner: Owner, receiver: Receiver) -> TokenReader:
    """What reads a plain socket."""
    made: TokenReader = module.TokenReader(fd, owner, receiver, receiver.poll)
    return made
