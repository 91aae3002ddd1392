"""``requires:`` of a suite: the distributions and versions it needs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence

from tokenbench.api import PluginError, UsageError


def check_requirements(
    wanted: Sequence[str], where: Callable[[str], str] = lambda path: path
) -> None:
    """Check that each requirement is installed in a matching version.

    Args:
        wanted: requirement specifiers, such as ``tokenbench-engine-vllm>=0.1``.
        where: the place of a path (``requires[0]``), for errors.

    Raises:
        UsageError: a specifier is invalid.
        PluginError: requirements are not met; the message names all of them.
    """
    if not wanted:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    problems = []
    for index, text in enumerate(wanted):
        place = where(f"requires[{index}]")
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"{place}: invalid requirement {text!r}: {reason}",
                hint="write NAME, NAME>=VERSION or NAME==VERSION",
            ) from None
        if requirement.url or requirement.extras:
            raise UsageError(
                f"{place}: {text!r} has a URL or extras",
                hint="write NAME, NAME>=VERSION or NAME==VERSION",
            )
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append((text, f"{requirement.name} is not installed"))
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            reason = f"{requirement.name} is {installed}, not {requirement.specifier}"
            problems.append((text, reason))
    if problems:
        names = " ".join(f"'{text}'" for text, _ in problems)
        raise PluginError(
            "the suite's requirements are not met: " + "; ".join(why for _, why in problems),
            hint=f"pip install {names}",
        )
