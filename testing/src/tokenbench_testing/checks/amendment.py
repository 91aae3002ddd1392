"""Amendments: pure, with a reason, and valid in the plans they change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from tokenbench.api import (
    Amendment,
    AmendRequest,
    EngineRequest,
    FlagGrammar,
    LaunchPlan,
    PluginError,
    UsageError,
)
from tokenbench.harness import amended, bind_process, bound_values, symbols
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.launches import engine_plan, engine_request

from .model import literal_secret
from .observer import call_hook

UNKNOWN = "unknown-engine"
_LAYOUTS = (("server",), ("prefill", "decode", "router"))
_SECRET = re.compile(r"\{secret:([A-Za-z0-9_.-]+)\}")


# -- requests and answers ------------------------------------------------------------------------


def _amend(subject: Subject, request: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    """The answer; None for a plan that it refuses, see amendment-refuses-with-a-hint."""
    try:
        answer: Amendment | None = _asked(subject, request, plan)
    except UsageError:
        if request.engine == UNKNOWN:
            raise
        return None
    return answer


def _asked(subject: Subject, request: AmendRequest, plan: LaunchPlan) -> Any:
    given = {} if subject.options is None else {"options": subject.options}
    return call_hook(subject.spec.bench_amend_launch, request=request, plan=plan, **given)


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
def amendment_reasons_are_of_its_settings(subject: Subject) -> None:
    """Every name in `reasons` is a flag, a variable, a file or an added process of the amendment,
    and no reason is empty.

    To fix: write the name as in `flags`, `environment` or `files`, or the role of the process.
    """
    for request, _, amendment in _answers(subject):
        known = {process.role for process in amendment.processes}
        for settings in (*amendment.flags.values(), *amendment.environment.values()):
            known |= set(settings)
        known |= {file.name for files in amendment.files.values() for file in files}
        for name, reason in amendment.reasons.items():
            if name not in known:
                fail(f"{request.engine}: a reason for {name!r}, which it does not set")
            if not reason.strip():
                fail(f"{request.engine}: the reason for {name} is empty")


@check(2, "amendment")
def amendment_refuses_with_a_hint(subject: Subject) -> None:
    """A plan that it refuses (UsageError) is refused with a message and a hint, of one line each.

    To fix: raise UsageError("what is wrong", hint="what the user can do").
    """
    refused = 0
    for request, plan in _cases(subject):
        try:
            _asked(subject, request, plan)
        except UsageError as error:
            refused += 1
            for text in (error.message, error.hint):
                if not text.strip() or "\n" in text:
                    fail(f"{request.engine}: refused with {text!r}")
        except Exception:  # noqa: S112 - other checks report it
            continue
    if not refused:
        skip("it refuses none of the kit's plans")


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
                    changed |= amended(engine, plan, amendment) != plan
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
        merged = amended(request.engine, plan, amendment)
        for process, placement, values in bound_values(merged):
            secrets = dict.fromkeys(_SECRET.findall("".join(process.environment.values())), "x")
            # amendments-hold-no-secret checks secrets in flags.
            flags = {k: v for k, v in process.flags.items() if "{secret:" not in str(v)}
            try:
                bind_process(attrs.evolve(process, flags=flags), placement.name, values, secrets)
            except PluginError as error:
                fail(f"{request.engine}: {error.message}")


@check(2, "amendment")
def amendment_files_are_plain(subject: Subject) -> None:
    """A file's name has no folder, and no two files of a process have the same name.

    To fix: use FileSpec(name="chat.jinja", ...), and {file:chat.jinja} for its path.
    """
    for request, plan, amendment in _answers(subject):
        for process in amended(request.engine, plan, amendment).processes:
            names = [file.name for file in process.files]
            for name in names:
                if name in ("", ".", "..") or "/" in name or names.count(name) > 1:
                    fail(f"{request.engine}: {process.role} has the files {names}")


@check(2, "amendment")
def amendments_hold_no_secret(subject: Subject) -> None:
    """Flags contain no secret: every user of the machine can read command lines. Variables refer to
    secrets by name and do not contain them: plans are stored and shared.

    To fix: use an environment variable with "{secret:NAME}", the value of the user's NAME.
    """
    for request, plan, amendment in _answers(subject):
        for process in amended(request.engine, plan, amendment).processes:
            where = f"of {process.role} contains a secret"
            for name, text in process.environment.items():
                if literal_secret(name, text):
                    fail(f"{request.engine}: variable {name} {where}")
            for flag, value in process.flags.items():
                for text in FlagGrammar().render(flag, value)[1:]:
                    named = any(symbol.startswith("secret:") for symbol in symbols(text))
                    if named or (not text.isdigit() and literal_secret(flag, text)):
                        fail(f"{request.engine}: flag {flag} {where}")
