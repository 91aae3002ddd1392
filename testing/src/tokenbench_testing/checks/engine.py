"""Level 2: an engine's plans are pure, complete and safe."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    COMPLETIONS,
    Counters,
    Engine,
    EngineCapabilities,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    UsageError,
    parse_metrics,
)
from tokenbench.harness import (
    BoundProcess,
    bind_process,
    bound_urls,
    bound_values,
    codec_names,
    symbols,
)
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.requests import base_request, requests_of

_SECRET = "kit-secret-0b5f"  # noqa: S105 - must not appear in plans
_GARBAGE = ("", "# HELP x\n", "{]\0", "<html>502</html>", "name{a=} nan\n", "\ufffd" * 10)
_ANY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|^::$|\[::\]")


def make(subject: Subject) -> Engine:
    """A new engine of the subject."""
    found = subject.create()
    if not isinstance(found, Engine):
        fail(f"the factory returned a {type(found).__name__}, not an Engine")
    return found


def capabilities_of(subject: Subject) -> EngineCapabilities:
    """What the engine declares."""
    found: EngineCapabilities = subject.spec.capabilities
    return found


def _requests(subject: Subject) -> Iterator[tuple[str, EngineRequest]]:
    yield from requests_of(capabilities_of(subject))
    for index, request in enumerate(subject.data.get("requests") or ()):
        yield f"requests[{index}]", request


def plans_of(subject: Subject) -> Iterator[tuple[str, EngineRequest, LaunchPlan]]:
    """Plans of all requests the engine accepts. `capabilities_are_true` checks that it accepts
    them.
    """
    for name, request in _requests(subject):
        try:
            yield name, request, make(subject).plan(request)
        except UsageError:
            continue


@check(2, "engine")
def plan_is_pure(subject: Subject) -> None:
    """The same request gives the same plan, also with another instance.

    To fix: use no clock, random numbers, counters or free ports in `plan`; use symbols.
    """
    for name, request in _requests(subject):
        try:
            first = make(subject)
            plans = [first.plan(request), first.plan(request), make(subject).plan(request)]
        except UsageError:
            continue
        if plans[1] != plans[0] or plans[2] != plans[0]:
            fail(f"{name}: a second call of plan() gives a different plan")


@check(2, "engine")
def capabilities_are_true(subject: Subject) -> None:
    """The engine can plan everything it declares (formats, hardware, axes, roles). An axis or a
    role changes the plan.

    To fix: declare less, or plan it.
    """
    base: LaunchPlan | None = None
    for name, request in requests_of(capabilities_of(subject)):
        try:
            plan = make(subject).plan(request)
        except UsageError as error:
            fail(f"{name} is declared but cannot be planned: {error.message}")
        base = plan if base is None else base
        if name.startswith(("axis ", "roles ")) and plan.processes and plan == base:
            fail(f"{name} is declared but does not change the plan")


@check(2, "engine")
def symbols_bind(subject: Subject) -> None:
    """Every symbol of a plan has a value at launch: the hosts, ports, files and roles it names
    exist.

    To fix: list ports in `ports` and files in `files`; `{decode.0.host}` needs a role `decode`.
    """
    for _, _, plan in plans_of(subject):
        list(_bound(plan))
        list(bound_urls(plan))


def _bound(plan: LaunchPlan) -> Iterator[BoundProcess]:
    for process, placement, values in bound_values(plan):
        named = [s for text in process.environment.values() for s in symbols(text)]
        secrets = {s.removeprefix("secret:"): _SECRET for s in named if s.startswith("secret:")}
        yield bind_process(process, placement.name, values, secrets)


@check(2, "engine")
def no_secret_in_the_command_line(subject: Subject) -> None:
    """Neither the value of a secret option, nor that of a variable that an option names, is in
    argv, flags or files: every user of the machine can read those.

    To fix: use `{secret:NAME}` in the environment of the process.
    """
    options = subject.options
    fields = attrs.fields(type(options)) if attrs.has(type(options)) else ()
    secrets = [f.name for f in fields if f.metadata.get("secret")]
    named = [f.name for f in fields if f.name.endswith("_env")]
    if not secrets and not named:
        skip("it has no option for a secret")
    changes: dict[str, Any] = dict.fromkeys(secrets, _SECRET)
    for name in named:  # The name of a variable, or a mapping to such names.
        mapping = isinstance(getattr(options, name), FrozenMap)
        variable = "TOKENBENCH_KIT_SECRET"
        changes[name] = FrozenMap({"X-Kit": variable}) if mapping else variable
    before = os.environ.get("TOKENBENCH_KIT_SECRET")
    os.environ["TOKENBENCH_KIT_SECRET"] = _SECRET
    try:
        changed = attrs.evolve(subject, options=attrs.evolve(options, **changes))
        for name, _, plan in plans_of(changed):
            if _SECRET in repr(plan):
                fail(f"{name}: the plan contains the value of {', '.join(secrets + named)}")
    finally:
        if before is None:
            del os.environ["TOKENBENCH_KIT_SECRET"]
        else:
            os.environ["TOKENBENCH_KIT_SECRET"] = before


@check(2, "engine")
def binds_to_its_own_host(subject: Subject) -> None:
    """A server listens on `{host}`, which is 127.0.0.1 here, never on all addresses.

    To fix: use `{host}` instead of `0.0.0.0`.
    """
    for name, _, plan in plans_of(subject):
        for process in plan.processes:
            texts = [*process.argv, *map(str, process.flags.values())]
            if any(_ANY_ADDRESS.search(t) for t in (*texts, *process.environment.values())):
                fail(f"{name}: {process.role} listens on all addresses")


@check(2, "engine")
def roles_are_unique(subject: Subject) -> None:
    """A plan has one process per role (replicas are a number), and each endpoint has one of these
    roles.

    To fix: use `replicas`, or another role name.
    """
    for name, _, plan in plans_of(subject):
        roles = Counter(process.role for process in plan.processes)
        twice = [role for role, count in roles.items() if count > 1]
        if twice:
            fail(f"{name}: two processes have the role {twice[0]!r}")
        if not plan.endpoints:
            fail(f"{name}: the plan has no endpoint")
        unknown = [e.role for e in plan.endpoints if plan.processes and e.role not in roles]
        if unknown:
            fail(f"{name}: an endpoint has the role {unknown[0]!r}, which has no process")


@check(2, "engine")
def starts_server_matches_the_plan(subject: Subject) -> None:
    """A plan has processes if, and only if, `starts_server` is True.

    To fix: declare `starts_server=False` for a server that is already running.
    """
    declared = capabilities_of(subject).starts_server
    for name, _, plan in plans_of(subject):
        if bool(plan.processes) != declared:
            fail(
                f"{name}: starts_server is {declared}, the plan has {len(plan.processes)} processes"
            )


@check(2, "engine")
def accelerators_are_counted(subject: Subject) -> None:
    """The accelerators of all replicas in a plan equal those of the layout, or 0 on hardware
    without devices to allocate.

    To fix: `ProcessSpec.accelerators` is the number per replica.
    """
    for name, request, plan in plans_of(subject):
        planned = sum(p.accelerators * p.replicas for p in plan.processes)
        if plan.processes and planned not in (0, request.layout.accelerators):
            fail(f"{name}: {planned} accelerators planned, {request.layout.accelerators} requested")


@check(2, "engine")
def workers_can_be_wrapped(subject: Subject) -> None:
    """`worker(request, role)` returns the processes of each pool, so that an orchestrator can wrap
    them; an unknown role raises KeyError.

    To fix: do not override `worker`, or support the key of every pool.
    """
    for name, request, plan in plans_of(subject):
        engine = make(subject)
        for pool in request.layout.pools if plan.processes else ():
            worker = engine.worker(request, pool.key)
            if worker.role != pool.key:
                fail(f"{name}: worker({pool.key!r}) has the role {worker.role!r}")
        try:
            engine.worker(request, "no-such-role")
        except KeyError:
            continue
        fail(f"{name}: worker() does not raise KeyError for an unknown role")


@check(2, "engine")
def dialect_is_valid(subject: Subject) -> None:
    """The dialect names at least one codec that is built in or registered, and is the same at each
    call.

    To fix: register the codec in the group `tokenbench.codecs`.
    """
    request = base_request(capabilities_of(subject))
    first, again = make(subject).dialect(request), make(subject).dialect(request)
    if first != again:
        fail("a second call of dialect() gives a different result")
    known = {*codec_names(), *subject.data.get("codecs", ())}
    unknown = [codec for codec in first.codecs if codec not in known]
    if not first.codecs or unknown:
        names = ", ".join(unknown)
        problem = f"unknown codecs: {names}" if names else "no codecs"
        fail(f"{problem}; known: {', '.join(sorted(known))}")
    if first.token_id_prompts and first.codecs[0] == "openai-chat":
        fail(f"chat endpoints take no token-id prompts; prefer {COMPLETIONS}")


@check(2, "engine")
def counters_accept_any_page(subject: Subject) -> None:
    """`counters` of an empty, invalid or error page are all None.

    To fix: return what the pages' methods return; they give None for what a page does not have.
    """
    engine = make(subject)
    for page in _GARBAGE:
        found = engine.counters((parse_metrics(page),))
        if found != Counters():
            fail(f"counters of {page[:20]!r}: {found}")
    if (found := engine.counters(())) != Counters():
        fail(f"counters of no page: {found}")


@check(2, "engine")
def logs_of_any_kind_are_accepted(subject: Subject) -> None:
    """`diagnose` and `phase` accept any text, and return None for a log without known messages.

    To fix: match whole messages of the engine, not words that any program writes.
    """
    engine = make(subject)
    for log in _GARBAGE:
        if (found := engine.diagnose(log)) is not None:
            fail(f"diagnosis of {log[:20]!r}: {found}")
        if (phase := engine.phase(log)) is not None:
            fail(f"phase of {log[:20]!r}: {phase}")


@check(2, "engine")
def counters_are_parsed(subject: Subject) -> None:
    """The captured metrics page is parsed to the author's `counters`.

    To fix: compare with the engine's documentation of its metrics.
    """
    if not capabilities_of(subject).counters:
        skip("it declares no counters")
    if type(make(subject)).counters is Engine.counters:
        fail("it declares counters but does not implement them")
    page = subject.want("metrics_page", "a page captured from the real server")
    wanted = subject.want("counters", "the content of that page")
    found = make(subject).counters((parse_metrics(page),))
    if found != wanted:
        fail(f"parsed {found}, expected {wanted}")


@check(2, "engine")
def declared_methods_exist(subject: Subject) -> None:
    """An engine that declares `reset_cache` implements it.

    To fix: declare less, or implement it.
    """
    capabilities, engine = capabilities_of(subject), make(subject)
    if capabilities.reset_cache and type(engine).reset_cache is Engine.reset_cache:
        fail("it declares reset_cache but does not implement it")


@check(2, "engine")
def plan_is_hashable(subject: Subject) -> None:
    """A plan is plain data with an identity: hashable, and without facts of this machine.

    To fix: use symbols for hosts, ports, weights and scratch folders, and tuples instead of lists.
    """
    for name, _, plan in plans_of(subject):
        try:
            hash(plan)
        except TypeError as error:
            fail(f"{name}: the plan is not hashable: {error}")
        here = str(Path.cwd())
        for process in plan.processes:
            values = [*map(str, process.flags.values()), *process.environment.values()]
            if any(here in value for value in values):
                fail(f"{name}: {process.role}: the plan contains the working directory")
