"""Which plugins fit this core: the API version that a distribution says it was written for.

A distribution says it in its metadata, so that it can be told without importing anything::

    [project.entry-points."tokenbench.api"]
    "0.1" = "tokenbench.api"

A core offers every minor version of its major up to its own: what a minor deprecates is taken away
one minor later at the earliest, and a fixture plugin of each past minor is kept in the tests.
"""

from __future__ import annotations

from tokenbench.api import API_VERSION

from .discovery import API_GROUP

OURS = ".".join(map(str, API_VERSION))


def misfit(declared: str | None) -> tuple[str, str] | None:
    """What is wrong with a declared API version, and a hint; None where it fits."""
    if declared is None:
        return (
            "its distribution does not say which API version it was written for",
            f'add to its pyproject: [project.entry-points."{API_GROUP}"] "{OURS}" = "{API_GROUP}"',
        )
    if "," in declared:
        return (
            f"its distribution says more than one API version: {declared}",
            f'keep one entry of the group "{API_GROUP}": the version it was written for',
        )
    try:
        major, minor = (int(part) for part in declared.split("."))
    except ValueError:
        return f"API version {declared!r} is not MAJOR.MINOR", f'write "{OURS}"'
    if (major, minor) > API_VERSION:
        return (
            f"it was written for API {declared}, this bench has {OURS}",
            "upgrade bench: pip install --upgrade tokenbench",
        )
    if major != API_VERSION[0]:
        return (
            f"it was written for API {declared}, this bench has {OURS}",
            "upgrade the plugin, or install the bench it was written for",
        )
    return None
