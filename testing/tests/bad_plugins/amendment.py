"""Amendments that are impure, invalid, or do not fit the plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs

from tokenbench.api import (
    Amendment,
    AmendRequest,
    FileSpec,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    UsageError,
    hookimpl,
)
from tokenbench_testing.kit import Subject
from tokenbench_testing.samples.launches import engine_request

_clock = itertools.count()


def _subject(hook: Callable[..., Any], **data: Any) -> Subject:
    return Subject(
        kind="amendment",
        name="more",
        module="bad_plugins.amendment",
        spec=SimpleNamespace(bench_amend_launch=hookimpl(hook)),
        data={"amends": ("sample",), **data},
    )


def _amends(answer: Callable[[LaunchPlan], Any]) -> Subject:
    """An amendment for plans of the engine `sample` that have processes."""

    def amend(request: AmendRequest, plan: LaunchPlan) -> Any:
        return answer(plan) if request.engine == "sample" and plan.processes else None

    return _subject(amend)


def _flags(plan: LaunchPlan, **flags: FlagValue) -> Amendment:
    return Amendment(
        reason="it is slow without",
        flags=FrozenMap(
            {
                p.role: FrozenMap({f"--{k.replace('_', '-')}": v for k, v in flags.items()})
                for p in plan.processes
            }
        ),
    )


def _environment(plan: LaunchPlan, **variables: str) -> Amendment:
    return Amendment(
        reason="it needs a key",
        environment=FrozenMap({p.role: FrozenMap(variables) for p in plan.processes}),
    )


def _adds(plan: LaunchPlan, role: str) -> Amendment:
    process = ProcessSpec(
        role=role,
        argv=("proxy", "--to", f"{{{plan.processes[0].role}.0.port:http}}"),
        flags={"--config": "{file:proxy.json}", "--listen": "{port:http}"},
        environment={"PROXY_KEY": "{secret:PROXY_KEY}"},
        files=(FileSpec(name="proxy.json", content="{}"),),
    )
    return Amendment(reason="its metrics need a proxy", processes=(process,))


def _files(plan: LaunchPlan, *names: str) -> Amendment:
    files = tuple(FileSpec(name=name, content="") for name in names)
    return Amendment(reason="it has no template", files=FrozenMap({plan.processes[0].role: files}))


def _refuses(message: str, hint: str) -> Subject:
    """It refuses plans with pools, and amends others."""

    def amend(request: AmendRequest, plan: LaunchPlan) -> Any:
        if request.engine != "sample" or not plan.processes:
            return None
        if request.request.layout.disaggregated:
            raise UsageError(message, hint=hint)
        return _flags(plan, x=1)

    return _subject(amend)


def _reasons(plan: LaunchPlan, **reasons: str) -> Amendment:
    named = {f"--{name}": reason for name, reason in reasons.items()}
    return attrs.evolve(_flags(plan, x=1, y=2), reasons=FrozenMap(named))


def _first_role(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    role = plan.processes[0].role
    return Amendment(reason="why not", flags=FrozenMap({role: FrozenMap({"--x": 1})}))


def _known_only(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    flag = {"sample": "--x"}[request.engine]
    return Amendment(
        reason="why not", flags=FrozenMap({p.role: FrozenMap({flag: 1}) for p in plan.processes})
    )


def _for_one_model(request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    return _flags(plan, x=1) if request.request.hardware.count == 8 else None


def _sometimes(request: AmendRequest, plan: LaunchPlan) -> Any:
    return {"--x": 1} if request.engine == "sample" else None


GOOD = [
    _amends(lambda plan: _flags(plan, x="{host}")),
    _amends(lambda plan: _environment(plan, SAMPLE_KEY="{secret:SAMPLE_KEY}")),
    _amends(lambda plan: _adds(plan, "proxy")),
    _amends(lambda plan: _files(plan, "chat.jinja")),
    _subject(_for_one_model, requests=(engine_request(("a", "b", "c", "d")),)),
    _subject(lambda plan: _flags(plan, x=1)),
    _amends(lambda plan: _reasons(plan, x="it is slow without")),
    _refuses("no pools", "leave them out"),
]
BAD = {
    "amendment-has-its-hook": Subject(
        kind="amendment", name="more", module="bad_plugins.amendment", spec=SimpleNamespace()
    ),
    "amendment-is-none-or-an-amendment": _subject(_sometimes, amends=("sample", "other")),
    "amendment-ignores-unknown-engines": _subject(_known_only),
    "amendment-accepts-a-plan-without-processes": _subject(
        lambda request, plan: _first_role(request, plan) if request.engine == "sample" else None
    ),
    "amendment-is-pure": _amends(lambda plan: _flags(plan, run=next(_clock))),
    "amendment-has-a-reason": _amends(
        lambda plan: Amendment(reason="", mounts=(f"/opt/{plan.processes[0].role}",))
    ),
    "amendment-reasons-are-of-its-settings": (
        _amends(lambda plan: _reasons(plan, z="it is slow without")),
        _amends(lambda plan: _reasons(plan, x=" ")),
    ),
    "amendment-refuses-with-a-hint": (
        _refuses("no pools", ""),
        _refuses("no\npools", "leave them out"),
    ),
    "amendment-changes-plans": _amends(lambda plan: _flags(plan, tp=2)),
    "amendment-roles-exist": _amends(
        lambda plan: Amendment(
            reason="it is slow without",
            flags=FrozenMap({"worker": FrozenMap({"--x": 1})}),
            mounts=("/opt/sample",),
        )
    ),
    "added-processes-have-new-roles": _amends(lambda plan: _adds(plan, plan.processes[0].role)),
    "amendment-symbols-bind": _amends(lambda plan: _flags(plan, metrics_port="{port:metrics}")),
    "amendment-files-are-plain": _amends(lambda plan: _files(plan, "templates/chat.jinja")),
    "amendments-hold-no-secret": (
        _amends(lambda plan: _flags(plan, api_key="{secret:KEY}")),
        _amends(lambda plan: _environment(plan, SAMPLE_API_KEY="not-to-be-seen")),
    ),
}
ALSO = {
    # A hook that returns no Amendment cannot change a plan.
    "amendment-is-none-or-an-amendment": {"amendment-changes-plans"},
}
