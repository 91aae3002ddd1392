"""The plugin whose code is called, and the errors that name it."""

from __future__ import annotations

import attrs

from tokenbench.api import PluginError

from .limits import VARIABLE, limit_s

CORE = "tokenbench"


class PluginTooSlow(PluginError):
    """A call into a plugin did not return in time."""


@attrs.frozen
class Owner:
    """A plugin as errors name it: ``engine 'x' (dist 1.0)``."""

    kind: str
    name: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"{self.kind} {self.name!r}{origin}"

    @property
    def is_core(self) -> bool:
        """Registered by core itself: its failures are bugs of bench."""
        return self.distribution == CORE


def raised(owner: object, member: str, error: BaseException) -> PluginError:
    """The error for an exception of a plugin."""
    return PluginError(
        f"{owner}: {member} raised {type(error).__name__}: {text_of(error)}".rstrip(": "),
        hint="run again with --debug for the traceback, and report it to the plugin's author",
    )


def too_slow(owner: object, member: str, limit: str, seconds: float | None = None) -> PluginTooSlow:
    """The error for a call that did not return in time. `limit`: the kind of call; `seconds`: its
    limit, if it is not that of the kind.
    """
    seconds = limit_s(limit) if seconds is None else seconds
    return PluginTooSlow(
        f"{owner}: {member} did not return within {seconds:g} s",
        hint="run again with --debug to see where it hangs, and report it to the plugin's author; "
        f"{VARIABLE}={limit}={10 * limit_s(limit):g} allows ten times as long",
    )


def wrong(owner: object, member: str, what: str) -> PluginError:
    """The error for a result that does not conform to the API."""
    return PluginError(
        f"{owner}: {member} {what}",
        hint="report it to the plugin's author; the reference of tokenbench.api has the types",
    )


def text_of(error: BaseException) -> str:
    """An exception's message, even if its ``__str__`` fails."""
    try:
        return str(error).encode(errors="backslashreplace").decode()
    except Exception:
        return "(no message: its __str__ failed)"
