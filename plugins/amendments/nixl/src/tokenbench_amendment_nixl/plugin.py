"""Amends launches with settings of NIXL."""

from __future__ import annotations

from tokenbench.api import Amendment, AmendRequest, LaunchPlan, hookimpl

from .options import NixlOptions


@hookimpl
def bench_use_options() -> type[NixlOptions]:
    """Backend, transports, adapters."""
    return NixlOptions


@hookimpl
def bench_amend_launch(
    request: AmendRequest, plan: LaunchPlan, options: NixlOptions
) -> Amendment | None:
    """How NIXL carries KV cache from prefill to decode."""
    from .amend import amend

    return amend(request, plan, options or NixlOptions())
