"""``requires:`` of a suite: which distributions must be installed, in which versions."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from tokenbench.api import PluginError, UsageError


def check_requirements(wanted: Sequence[str]) -> None:
    """See that each is installed in a version that fits.

    Args:
        wanted: requirement specifiers, such as ``tokenbench-engine-vllm>=0.1``.

    Raises:
        UsageError: one of them is no requirement.
        PluginError: some are missing or do not fit; all are named.
    """
    if not wanted:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    problems = []
    for text in wanted:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"requires: {text!r} is no requirement: {reason}",
                hint="write NAME, NAME>=VERSION or NAME==VERSION",
            ) from None
        if requirement.url or requirement.extras:
            raise UsageError(
                f"requires: {text!r} names more than a distribution and its version",
                hint="write NAME, NAME>=VERSION or NAME==VERSION",
            )
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            have = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append((text, f"{requirement.name} is not installed"))
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            problems.append((text, f"{requirement.name} is {have}, not {requirement.specifier}"))
    if problems:
        names = " ".join(f"'{text}'" for text, _ in problems)
        raise PluginError(
            "the suite's requirements are not met: " + "; ".join(why for _, why in problems),
            hint=f"pip install {names}",
        )
