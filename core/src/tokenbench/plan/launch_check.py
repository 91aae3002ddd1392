"""Checks that a launch plan can be started at all."""

from __future__ import annotations

import math

from tokenbench.api import LaunchPlan
from tokenbench.guard.owner import Owner, wrong


def check_launch(owner: Owner, plan: LaunchPlan) -> None:
    """Check what every launcher needs of an engine's plan.

    Raises:
        PluginError: the plan is invalid.
    """
    if not plan.endpoints:
        raise wrong(owner, "plan()", "returned a plan without an endpoint")
    if not 0 < plan.start_timeout_s < math.inf:
        raise wrong(owner, "plan()", f"returned a start_timeout_s of {plan.start_timeout_s}")
    roles = [process.role for process in plan.processes]
    for role in (*plan.wraps, *(p.beside for p in plan.processes if p.beside is not None)):
        if role not in roles:
            raise wrong(owner, "plan()", f"names the role {role!r}, which no process has")
    for number, process in enumerate(plan.processes):
        if process.role in roles[:number]:
            raise wrong(owner, "plan()", f"returned two processes of the role {process.role!r}")
        if process.ranks < 1 or process.accelerators % process.ranks:
            raise wrong(
                owner,
                "plan()",
                f"returned {process.accelerators} accelerators on {process.ranks} ranks for "
                f"{process.role!r}",
            )
        if not process.argv:
            raise wrong(owner, "plan()", f"returned a process {process.role!r} without a command")
        if process.replicas < 1:
            raise wrong(
                owner,
                "plan()",
                f"returned a process {process.role!r} of {process.replicas} replicas",
            )
