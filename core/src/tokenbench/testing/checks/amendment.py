"""Amendments: pure, with a reason, and sound in the plan that they change."""

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

UNKNOWN = "an-engine-that-nobody-has-written"
_LAYOUTS = (("server",), ("prefill", "decode", "router"))
_SECRET = re.compile(r"\{secret:([A-Za-z0-9_.-]+)\}")


# -- what the checks look at ---------------------------------------------------------------------


def _ask(subject: Subject, asked: AmendRequest, plan: LaunchPlan) -> Amendment | None:
    hook = subject.spec.bench_amend_launch
    answer: Amendment | None = call_hook(hook, request=asked, plan=plan)
    return answer


def _requests(subject: Subject) -> tuple[EngineRequest, ...]:
    return (*map(engine_request, _LAYOUTS), *subject.data.get("requests", ()))


def _asked(subject: Subject) -> Iterator[tuple[AmendRequest, LaunchPlan]]:
    """What the checks ask: each engine that it amends and one it cannot know, each layout."""
    if not hasattr(subject.spec, "bench_amend_launch"):
        skip("amendment-has-its-hook says why")
    for engine in (*subject.data.get("amends", ()), UNKNOWN):
        for request in _requests(subject):
            yield AmendRequest(engine=engine, request=request), engine_plan(request)


def _answers(subject: Subject) -> list[tuple[AmendRequest, LaunchPlan, Amendment]]:
    """What was asked of which plan, and the answer; skips where it asks for nothing."""
    found = []
    for asked, plan in _asked(subject):
        if asked.engine == UNKNOWN:
            try:
                amendment = _ask(subject, asked, plan)
            except Exception:  # noqa: S112 - amendment-ignores-unknown-engines says it
                continue
        else:
            amendment = _ask(subject, asked, plan)
        if isinstance(amendment, Amendment):
            found.append((asked, plan, amendment))
    return found or skip("it asks for nothing of the kit's plans: name engines in `amends`")


def _merged(engine: str, plan: LaunchPlan, amendment: Amendment) -> LaunchPlan:
    return merge(plan, engine, amendment_layers([("kit", amendment)]), [amendment])[0]


# -- the answer ----------------------------------------------------------------------------------


@check(2, "amendment")
def amendment_has_its_hook(subject: Subject) -> None:
    """The module implements bench_amend_launch.

    To fix: write it with @hookimpl above it.
    """
    if not callable(getattr(subject.spec, "bench_amend_launch", None)):
        fail("it has no bench_amend_launch")


@check(2, "amendment")
def amendment_is_none_or_an_amendment(subject: Subject) -> None:
    """The answer is an Amendment, or None for no opinion.

    To fix: return Amendment(reason=..., ...), not the changed plan or a dict.
    """
    for asked, plan in _asked(subject):
        if asked.engine != UNKNOWN:
            amendment = _ask(subject, asked, plan)
            if amendment is not None and not isinstance(amendment, Amendment):
                fail(f"{asked.engine}: the answer is a {type(amendment).__name__}")


@check(2, "amendment")
def amendment_ignores_unknown_engines(subject: Subject) -> None:
    """For an engine that it does not know it has no opinion or a sound one, and never raises.

    To fix: compare request.engine first, and return None for all others.
    """
    for asked, plan in _asked(subject):
        if asked.engine == UNKNOWN:
            try:
                amendment = _ask(subject, asked, plan)
            except Exception as error:
                fail(f"for an unknown engine it raised {type(error).__name__}: {error}")
            if amendment is not None and not isinstance(amendment, Amendment):
                fail(f"for an unknown engine the answer is a {type(amendment).__name__}")


@check(2, "amendment")
def amendment_accepts_a_plan_without_processes(subject: Subject) -> None:
    """For a server that is already up there is nothing to start, and it does not raise.

    To fix: look for a process before reading it.
    """
    for asked, plan in _asked(subject):
        if asked.engine != UNKNOWN:
            try:
                _ask(subject, asked, attrs.evolve(plan, processes=()))
            except Exception as error:
                fail(f"without processes it raised {type(error).__name__}: {error}")


@check(2, "amendment")
def amendment_is_pure(subject: Subject) -> None:
    """Asked twice, the answers are equal: plans are compared by what is in them.

    To fix: no clock, no random name, no look at the machine; use a symbol for what is known late.
    """
    for asked, plan, amendment in _answers(subject):
        again = _ask(subject, asked, plan)
        if again != amendment:
            fail(f"{asked.engine}: {amendment!r}, then {again!r}")


@check(2, "amendment")
def amendment_has_a_reason(subject: Subject) -> None:
    """`reason` says in words why; it stands in `bench plan --explain`.

    To fix: write what goes wrong without it.
    """
    for asked, _, amendment in _answers(subject):
        if not amendment.reason.strip():
            fail(f"{asked.engine}: the reason is empty")


@check(2, "amendment")
def amendment_changes_plans(subject: Subject) -> None:
    """For each engine named in `amends` at least one plan is really changed.

    To fix: look for a misspelt engine or a setting that the plan has already; if it looks at the
    hardware or model, give `requests` that it has an opinion of.
    """
    for engine in subject.want("amends", "which engines' plans does it change?"):
        changed = False
        for asked, plan in _asked(subject):
            if asked.engine == engine:
                amendment = _ask(subject, asked, plan)
                if isinstance(amendment, Amendment):
                    changed |= _merged(engine, plan, amendment) != plan
        if not changed:
            fail(f"no plan of {engine} is changed")


# -- what it asks for ----------------------------------------------------------------------------


@check(2, "amendment")
def amendment_roles_exist(subject: Subject) -> None:
    """Flags, variables and files are for roles of the plan, or of processes that it adds.

    To fix: take the roles from `plan.processes`; what is for no role is silently lost.
    """
    for asked, plan, amendment in _answers(subject):
        known = {process.role for process in (*plan.processes, *amendment.processes)}
        for role in (*amendment.flags, *amendment.environment, *amendment.files):
            if role not in known:
                fail(f"{asked.engine}: no process has the role {role!r}, only {sorted(known)}")


@check(2, "amendment")
def added_processes_have_new_roles(subject: Subject) -> None:
    """A process that it adds has a role that the plan does not have.

    To fix: name the role after what it does (metrics-proxy), not after the engine's.
    """
    for asked, plan, amendment in _answers(subject):
        taken = [process.role for process in plan.processes]
        for process in amendment.processes:
            if process.role in taken:
                fail(f"{asked.engine}: there is a process of the role {process.role!r}")
            taken.append(process.role)


@check(2, "amendment")
def amendment_symbols_bind(subject: Subject) -> None:
    """Every symbol in the changed plan has a value when it is launched.

    To fix: a {port:NAME} is among the process's `ports`, a {file:NAME} among its files, a
    {ROLE.0.host} a role of the plan; {secret:NAME} stands in variables only.
    """
    for asked, plan, amendment in _answers(subject):
        merged = _merged(asked.engine, plan, amendment)
        for process in merged.processes:
            secrets = dict.fromkeys(_SECRET.findall("".join(process.environment.values())), "x")
            # A secret in a flag is the business of amendment-flags-hold-no-secret.
            flags = {k: v for k, v in process.flags.items() if "{secret:" not in str(v)}
            sound = attrs.evolve(process, flags=flags)
            try:
                bind_process(sound, 0, _facts(merged, process), secrets)
            except PluginError as error:
                fail(f"{asked.engine}: {error.message}")


def _facts(plan: LaunchPlan, own: ProcessSpec) -> dict[str, str]:
    """A value for every symbol that a launcher would know."""
    facts = dict.fromkeys(("host", "weights", "cpus", "devices", "scratch"), "1")
    facts |= {f"port:{name}": "1" for name in own.ports}
    facts |= {f"file:{file.name}": "1" for file in own.files}
    for process in plan.processes:
        for index in range(process.replicas):
            place = f"{process.role}.{index}"
            facts[f"{place}.host"] = "1"
            facts |= {f"{place}.port:{name}": "1" for name in process.ports}
    return facts


@check(2, "amendment")
def amendment_files_are_plain(subject: Subject) -> None:
    """A file's name has no folder in it, and no two files of a process have one name.

    To fix: FileSpec(name="chat.jinja", ...), and {file:chat.jinja} for its path.
    """
    for asked, plan, amendment in _answers(subject):
        for process in _merged(asked.engine, plan, amendment).processes:
            names = [file.name for file in process.files]
            for name in names:
                if name in ("", ".", "..") or "/" in name or names.count(name) > 1:
                    fail(f"{asked.engine}: {process.role} has the files {names}")


@check(2, "amendment")
def amendment_flags_hold_no_secret(subject: Subject) -> None:
    """No secret is in a flag: everyone on the machine can read command lines.

    To fix: pass it in a variable of the environment, as "{secret:NAME}".
    """
    for asked, plan, amendment in _answers(subject):
        for process in _merged(asked.engine, plan, amendment).processes:
            for flag, value in process.flags.items():
                for text in render_flag(flag, value)[1:]:
                    named = any(symbol.startswith("secret:") for symbol in symbols(text))
                    if named or (not text.isdigit() and literal_secret(flag, text)):
                        fail(f"{asked.engine}: the flag {flag} of {process.role} holds a secret")


@check(2, "amendment")
def amendment_environment_holds_no_secret(subject: Subject) -> None:
    """Variables name secrets, they do not hold them: plans are stored and shared.

    To fix: "{secret:NAME}" takes the value from the user's variable NAME.
    """
    for asked, plan, amendment in _answers(subject):
        for process in _merged(asked.engine, plan, amendment).processes:
            for name, text in process.environment.items():
                if literal_secret(name, text):
                    fail(f"{asked.engine}: the variable {name} of {process.role} holds a secret")
