"""The limit of open files."""

from __future__ import annotations

import contextlib
import resource

# Above this, programs that try every possible descriptor take seconds to start.
_MOST = 1 << 20


def allow_many_files() -> None:
    """Raise the soft limit of this process and its children: the usual 1024 is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(_finite(hard), _MOST)), hard))


def most_files() -> int:
    """The number of files that a process may open after :func:`allow_many_files`."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _finite(limit: int) -> int:
    return _MOST if limit == resource.RLIM_INFINITY else limit
