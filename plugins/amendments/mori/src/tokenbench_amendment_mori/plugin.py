"""Amends launches with MoRI."""

from __future__ import annotations

from tokenbench.api import Amendment, AmendRequest, LaunchPlan, hookimpl

from .options import MoriOptions


@hookimpl
def bench_use_options() -> type[MoriOptions]:
    """What it carries, and how."""
    return MoriOptions


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: MoriOptions
) -> Amendment | None:
    """MoRI between experts, and from prefill to decode."""
    from .amend import amend

    return amend(request, plan, options or MoriOptions())
