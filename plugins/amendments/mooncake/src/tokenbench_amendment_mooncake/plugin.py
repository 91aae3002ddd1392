"""Amends launches with the Mooncake store."""

from __future__ import annotations

from tokenbench.api import Amendment, AmendRequest, LaunchPlan, hookimpl

from .options import MooncakeOptions


@hookimpl
def bench_use_options() -> type[MooncakeOptions]:
    """Protocol, devices, sizes."""
    return MooncakeOptions


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: MooncakeOptions
) -> Amendment | None:
    """The store's processes, and what makes the engine use it."""
    from .amend import amend

    return amend(request, plan, options or MooncakeOptions())
