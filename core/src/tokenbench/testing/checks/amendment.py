"""Amendments: pure, with a reason, and valid in the plans they change."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from tokenbench.api import (
    Amendment,
    AmendRequest,
    EngineRequest,
    LaunchPlan,
    PluginError,
    ProcessSpec,
    bind_process,
)
from tokenbench.api.binding import render_flag, symbols
from tokenbench.plan.layers import amendment_layers, merge
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.launches import engine_plan, engine_request

from .model import literal_secret
from .observer import call_hook

UNKNOWN = "unknown-engine"
_LAYOUTS = (("server",), ("prefill", "decode", "router"))
_SECRET = re.compile(r"\{secret:([A-Za-z0-9_.-]+)\}")


# -- requests and answers ------------------------------------------------------------------------


def _amend(subject: Subject, request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    hook = subject.spec.bench_amend_launch
    answer: Amendment | None = call_hook(hook, request=request, plan=plan)
    return answer


def _requests(subject: Subject) -> tuple[EngineRequest, ...]:
    return (*map(engine_request, _LAYOUTS), *subject.data.get("requests", ()))


def _cases(subject: Subject) -> Iterator[tuple[AmendRequest, LaunchPlan]]:
    """Requests for each amended engine and for an unknown one, in each layout, with their plans."""
    if not hasattr(subject.spec, "bench_amend_launch"):
        skip("see amendment-has-its-hook")
    for engine in (*subject.data.get("amends", ()), UNKNOWN):
        for request in _requests(subject):
            yield AmendRequest(engine=engine, request=request), engine_plan(request)


def _answers(subject: Subject) -> list[tuple[AmendRequest, LaunchPlan, Amendment]]:
    """Requests, plans and the resulting amendments; skips if there is no amendment."""
    found = []
    for request, plan in _cases(subject):
        if request.engine == UNKNOWN:
            try:
                amendment = _amend(subject, request, plan)
            except Exception:  # noqa: S112 - amendment-ignores-unknown-engines reports it
                continue
        else:
            amendment = _amend(subject, request, plan)
        if isinstance(amendment, Amendment):
            found.append((request, plan, amendment))
    return found or skip("it amends none of the kit's plans: list engines in `amends`")


def _merged(engine: str, plan: LaunchPlan, amendment: Amendment) -> LaunchPlan:
    return merge(plan, engine, amendment_layers([("kit", amendment)]), [amendment])[0]


# -- the amendment -------------------------------------------------------------------------------


@check(2, "amendment")
def amendment_has_its_hook(subject: Subject) -> None:
    """The module implements bench_amend_launch.

    To fix: implement it, with @hookimpl above it.
    """
    if not callable(getattr(subject.spec, "bench_amend_launch", None)):
        fail("it has no bench_amend_launch")


@check(2, "amendment")
def amendment_is_none_or_an_amendment(subject: Subject) -> None:
    """The hook returns an Amendment, or None for no change.

    To fix: return Amendment(reason=..., ...), not the changed plan or a dict.
    """
    for request, plan in _cases(subject):
        if request.engine != UNKNOWN:
            amendment = _amend(subject, request, plan)
            if amendment is not None and not isinstance(amendment, Amendment):
                fail(f"{request.engine}: the hook returned a {type(amendment).__name__}")


@check(2, "amendment")
def amendment_ignores_unknown_engines(subject: Subject) -> None:
    """For an unknown engine the hook returns None or a valid amendment, and does not raise.

    To fix: compare request.engine first, and return None for other engines.
    """
    for request, plan in _cases(subject):
        if request.engine == UNKNOWN:
            try:
                amendment = _amend(subject, request, plan)
            except Exception as error:
                fail(f"unknown engine: raised {type(error).__name__}: {error}")
            if amendment is not None and not isinstance(amendment, Amendment):
                fail(f"unknown engine: the hook returned a {type(amendment).__name__}")


@check(2, "amendment")
def amendment_accepts_a_plan_without_processes(subject: Subject) -> None:
    """A server that is already running has a plan without processes; the hook does not raise for
    it.

    To fix: check that a process exists before you use it.
    """
    for request, plan in _cases(subject):
        if request.engine != UNKNOWN:
            try:
                _amend(subject, request, attrs.evolve(plan, processes=()))
            except Exception as error:
                fail(f"plan without processes: raised {type(error).__name__}: {error}")


@check(2, "amendment")
def amendment_is_pure(subject: Subject) -> None:
    """Two calls with the same request and plan return equal amendments: plans are compared by
    content.

    To fix: use no clock, random name or fact of this machine; use symbols for values known at
    launch.
    """
    for request, plan, amendment in _answers(subject):
        again = _amend(subject, request, plan)
        if again != amendment:
            fail(f"{request.engine}: {amendment!r}, then {again!r}")


@check(2, "amendment")
def amendment_has_a_reason(subject: Subject) -> None:
    """`reason` explains the amendment; `bench plan --explain` shows it.

    To fix: write what goes wrong without it.
    """
    for request, _, amendment in _answers(subject):
        if not amendment.reason.strip():
            fail(f"{request.engine}: the reason is empty")


@check(2, "amendment")
def amendment_changes_plans(subject: Subject) -> None:
    """For each engine in `amends`, at least one plan changes.

    To fix: look for a misspelt engine or a setting that the plan already has. If the amendment
    depends on hardware or model, add matching `requests`.
    """
    for engine in subject.want("amends", "which engines' plans does it change?"):
        changed = False
        for request, plan in _cases(subject):
            if request.engine == engine:
                amendment = _amend(subject, request, plan)
                if isinstance(amendment, Amendment):
                    changed |= _merged(engine, plan, amendment) != plan
        if not changed:
            fail(f"no plan of {engine} changes")


# -- its content ---------------------------------------------------------------------------------


@check(2, "amendment")
def amendment_roles_exist(subject: Subject) -> None:
    """Flags, variables and files are for roles of the plan, or of processes that the amendment
    adds.

    To fix: take the roles from `plan.processes`; settings for other roles have no effect.
    """
    for request, plan, amendment in _answers(subject):
        known = {process.role for process in (*plan.processes, *amendment.processes)}
        for role in (*amendment.flags, *amendment.environment, *amendment.files):
            if role not in known:
                fail(f"{request.engine}: no process has the role {role!r}, only {sorted(known)}")


@check(2, "amendment")
def added_processes_have_new_roles(subject: Subject) -> None:
    """A process that the amendment adds has a role that the plan does not have.

    To fix: name the role after its task (metrics-proxy), not after the engine's role.
    """
    for request, plan, amendment in _answers(subject):
        taken = [process.role for process in plan.processes]
        for process in amendment.processes:
            if process.role in taken:
                fail(f"{request.engine}: the role {process.role!r} already exists")
            taken.append(process.role)


@check(2, "amendment")
def amendment_symbols_bind(subject: Subject) -> None:
    """Every symbol in the changed plan has a value at launch.

    To fix: add a {port:NAME} to the process's `ports`, a {file:NAME} to its files; {ROLE.0.host}
    needs a role of the plan; {secret:NAME} is allowed in variables only.
    """
    for request, plan, amendment in _answers(subject):
        merged = _merged(request.engine, plan, amendment)
        for process in merged.processes:
            secrets = dict.fromkeys(_SECRET.findall("".join(process.environment.values())), "x")
            # amendment-flags-hold-no-secret checks secrets in flags.
            flags = {k: v for k, v in process.flags.items() if "{secret:" not in str(v)}
            try:
                bind_process(
                    attrs.evolve(process, flags=flags), 0, _values(merged, process), secrets
                )
            except PluginError as error:
                fail(f"{request.engine}: {error.message}")


def _values(plan: LaunchPlan, own: ProcessSpec) -> dict[str, str]:
    """A value for every symbol that a launcher can bind."""
    values = dict.fromkeys(("host", "weights", "cpus", "devices", "scratch"), "1")
    values |= {f"port:{name}": "1" for name in own.ports}
    values |= {f"file:{file.name}": "1" for file in own.files}
    for process in plan.processes:
        for index in range(process.replicas):
            place = f"{process.role}.{index}"
            values[f"{place}.host"] = "1"
            values |= {f"{place}.port:{name}": "1" for name in process.ports}
    return values


@check(2, "amendment")
def amendment_files_are_plain(subject: Subject) -> None:
    """A file's name has no folder, and no two files of a process have the same name.

    To fix: use FileSpec(name="chat.jinja", ...), and {file:chat.jinja} for its path.
    """
    for request, plan, amendment in _answers(subject):
        for process in _merged(request.engine, plan, amendment).processes:
            names = [file.name for file in process.files]
            for name in names:
                if name in ("", ".", "..") or "/" in name or names.count(name) > 1:
                    fail(f"{request.engine}: {process.role} has the files {names}")


@check(2, "amendment")
def amendment_flags_hold_no_secret(subject: Subject) -> None:
    """Flags contain no secret: every user of the machine can read command lines.

    To fix: pass it in an environment variable, as "{secret:NAME}".
    """
    for request, plan, amendment in _answers(subject):
        for process in _merged(request.engine, plan, amendment).processes:
            for flag, value in process.flags.items():
                for text in render_flag(flag, value)[1:]:
                    named = any(symbol.startswith("secret:") for symbol in symbols(text))
                    if named or (not text.isdigit() and literal_secret(flag, text)):
                        fail(f"{request.engine}: flag {flag} of {process.role} contains a secret")


@check(2, "amendment")
def amendment_environment_holds_no_secret(subject: Subject) -> None:
    """Variables refer to secrets by name and do not contain them: plans are stored and shared.

    To fix: use "{secret:NAME}", which takes the value from the user's variable NAME.
    """
    for request, plan, amendment in _answers(subject):
        for process in _merged(request.engine, plan, amendment).processes:
            for name, text in process.environment.items():
                if literal_secret(name, text):
                    fail(f"{request.engine}: variable {name} of {process.role} contains a secret")
