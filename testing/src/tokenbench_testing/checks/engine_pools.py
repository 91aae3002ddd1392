"""Level 2: an engine's pools, ranks and wrapped roles."""

from __future__ import annotations

import attrs

from tokenbench.api import DECODE, PREFILL, LaunchPlan, Layout, Pool, UsageError
from tokenbench_testing.checks.engine import capabilities_of, make, plans_of
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.requests import base_request

_SPLIT = Layout(pools=(Pool(role=PREFILL), Pool(role=DECODE, replicas=2)))
_NAMED = Layout(
    pools=(
        Pool(role=PREFILL, name="prefill-a"),
        Pool(role=PREFILL, name="prefill-b", replicas=2),
        Pool(role=DECODE, name="decode-a"),
    )
)


@check(2, "engine")
def pools_become_processes(subject: Subject) -> None:
    """An engine with prefill and decode plans each pool as processes whose role is the pool's key,
    with its replicas; also two named pools of one role, if it accepts them.

    To fix: ``ProcessSpec(role=pool.key, replicas=pool.replicas)`` for each pool of the layout.
    """
    if not {PREFILL, DECODE} <= set(capabilities_of(subject).roles):
        skip("it does not split prefill and decode")
    for layout in (_SPLIT, _NAMED):
        base = base_request(capabilities_of(subject))
        facts = attrs.evolve(base.hardware, count=layout.accelerators)
        try:
            plan = make(subject).plan(attrs.evolve(base, layout=layout, hardware=facts))
        except UsageError:
            continue  # For the first layout, capabilities-are-true reports it.
        _check_pools(layout, plan)


def _check_pools(layout: Layout, plan: LaunchPlan) -> None:
    planned = {process.role: process.replicas for process in plan.processes}
    for pool in layout.pools:
        if pool.key not in planned:
            fail(f"the pool {pool.key!r} has no processes, only {', '.join(planned)} have")
        if planned[pool.key] != pool.replicas:
            fail(f"{planned[pool.key]} replicas of {pool.key!r} planned, {pool.replicas} requested")


@check(2, "engine")
def ranks_divide_accelerators(subject: Subject) -> None:
    """The accelerators of a replica are spread evenly over its ranks.

    To fix: plan as many ranks as hosts, all with the same number of accelerators.
    """
    for name, _, plan in plans_of(subject):
        for process in plan.processes:
            if process.ranks < 1 or process.accelerators % process.ranks:
                fail(
                    f"{name}: {process.role} has {process.accelerators} accelerators on "
                    f"{process.ranks} ranks"
                )


@check(2, "engine")
def named_roles_are_planned(subject: Subject) -> None:
    """`wraps` of a plan, and `after` and `beside` of its processes, name roles of the plan.

    To fix: use the keys of the pools.
    """
    for name, _, plan in plans_of(subject):
        roles = {process.role for process in plan.processes}
        for process in plan.processes:
            beside = () if process.beside is None else (process.beside,)
            for role in (*plan.wraps, *process.after, *beside):
                if role not in roles:
                    fail(f"{name}: the role {role!r} has no process")
