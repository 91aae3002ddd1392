"""Compatibility: the API version that a plugin's distribution declares.

A distribution declares it in its metadata, so that it can be read without importing anything::

    [project.entry-points."tokenbench.api"]
    "0.2" = "tokenbench.api"

Before 1.0 a minor version is incompatible with every other. From 1.0 on core supports every minor
version of its major version up to its own; a deprecated name is removed one minor version later at
the earliest. Tests keep frozen plugins of each supported version.
"""

from __future__ import annotations

from tokenbench.api import API_VERSION

from .discovery import API_GROUP

OURS = ".".join(map(str, API_VERSION))


def api_mismatch(declared: str | None) -> tuple[str, str] | None:
    """Message and hint if the declared API version is not supported; None if it is."""
    if declared is None:
        return (
            "its distribution declares no API version",
            f'add to its pyproject: [project.entry-points."{API_GROUP}"] "{OURS}" = "{API_GROUP}"',
        )
    if "," in declared:
        return (
            f"its distribution declares more than one API version: {declared}",
            f'keep one entry in the group "{API_GROUP}": the version it was written for',
        )
    try:
        major, minor = (int(part) for part in declared.split("."))
    except ValueError:
        return f"invalid API version {declared!r}: expected MAJOR.MINOR", f'write "{OURS}"'
    if (major, minor) > API_VERSION:
        return (
            f"it requires API {declared}, this bench supports {OURS}",
            "upgrade bench: pip install --upgrade tokenbench",
        )
    if major != API_VERSION[0] or (major == 0 and minor != API_VERSION[1]):
        return (
            f"it requires API {declared}, this bench supports {OURS}",
            "upgrade the plugin, or install a tokenbench version with that API",
        )
    return None
