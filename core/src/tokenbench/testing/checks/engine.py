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
    BoundProcess,
    Counters,
    Engine,
    EngineCapabilities,
    EngineContext,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    UsageError,
    bind_process,
    bind_url,
    symbol_values,
)
from tokenbench.api.binding import symbols
from tokenbench.load.codecs import BUILT_IN
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.suite.schema import PluginRef
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.requests import allocation_for, base_request, requests_of

_SECRET = "kit-secret-0b5f"  # noqa: S105 - must not appear in plans
_GARBAGE = ("", "# HELP x\n", "{]\0", "<html>502</html>", "name{a=} nan\n", "\ufffd" * 10)
_ANY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|^::$|\[::\]")


def make(subject: Subject) -> Engine:
    """A new engine of the subject."""
    # Lazy, because discovery takes a while and only orchestrators need other engines.
    context = EngineContext(
        engine=lambda name: PluginInstances(PluginRegistry()).engine(PluginRef.of(name))
    )
    found = subject.spec.factory(subject.options, subject.data.get("context", context))
    if not isinstance(found, Engine):
        fail(f"the factory returned a {type(found).__name__}, not an Engine")
    return found


def _capabilities(subject: Subject) -> EngineCapabilities:
    found: EngineCapabilities = subject.spec.capabilities
    return found


def _requests(subject: Subject) -> Iterator[tuple[str, EngineRequest]]:
    yield from requests_of(_capabilities(subject))
    for index, request in enumerate(subject.data.get("requests") or ()):
        yield f"requests[{index}]", request


def _plans(subject: Subject) -> Iterator[tuple[str, EngineRequest, LaunchPlan]]:
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
    for name, request in requests_of(_capabilities(subject)):
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
    for _, _, plan in _plans(subject):
        list(_bound(plan))
        values = symbol_values(allocation_for(plan), "", 0)
        for endpoint in plan.endpoints:
            bind_url(endpoint, values)


def _bound(plan: LaunchPlan) -> Iterator[BoundProcess]:
    allocation = allocation_for(plan)
    for process in plan.processes:
        for index in range(process.replicas):
            values = symbol_values(allocation, process.role, index)
            values |= {"cpus": "2", "scratch": "scratch", "weights": "weights"}
            values |= {f"file:{file.name}": f"scratch/{file.name}" for file in process.files}
            named = [s for text in process.environment.values() for s in symbols(text)]
            secrets = {s.removeprefix("secret:"): _SECRET for s in named if s.startswith("secret:")}
            yield bind_process(process, index, values, secrets)


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
        for name, _, plan in _plans(changed):
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
    for name, _, plan in _plans(subject):
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
    for name, _, plan in _plans(subject):
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
    declared = _capabilities(subject).starts_server
    for name, _, plan in _plans(subject):
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
    for name, request, plan in _plans(subject):
        planned = sum(p.accelerators * p.replicas for p in plan.processes)
        if plan.processes and planned not in (0, request.layout.accelerators):
            fail(f"{name}: {planned} accelerators planned, {request.layout.accelerators} requested")


@check(2, "engine")
def workers_can_be_wrapped(subject: Subject) -> None:
    """`worker(request, role)` returns the process of each role of the plan, so that an orchestrator
    can wrap it; an unknown role raises KeyError.

    To fix: do not override `worker`, or support all roles of the plan.
    """
    for name, request, plan in _plans(subject):
        engine = make(subject)
        for process in plan.processes:
            worker = engine.worker(request, process.role)
            if worker.role != process.role:
                fail(f"{name}: worker({process.role!r}) has the role {worker.role!r}")
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
    request = base_request(_capabilities(subject))
    first, again = make(subject).dialect(request), make(subject).dialect(request)
    if first != again:
        fail("a second call of dialect() gives a different result")
    known = {*BUILT_IN, *PluginRegistry().names("codec"), *subject.data.get("codecs", ())}
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

    To fix: use `parse_prometheus` and `.get`.
    """
    engine = make(subject)
    for page in _GARBAGE:
        found = engine.counters(page)
        if found != Counters():
            fail(f"counters of {page[:20]!r}: {found}")


@check(2, "engine")
def counters_are_parsed(subject: Subject) -> None:
    """The captured metrics page is parsed to the author's `counters`.

    To fix: compare with the engine's documentation of its metrics.
    """
    if not _capabilities(subject).counters:
        skip("it declares no counters")
    if type(make(subject)).counters is Engine.counters:
        fail("it declares counters but does not implement them")
    page = subject.want("metrics_page", "a page captured from the real server")
    wanted = subject.want("counters", "the content of that page")
    found = make(subject).counters(page)
    if found != wanted:
        fail(f"parsed {found}, expected {wanted}")


@check(2, "engine")
def declared_methods_exist(subject: Subject) -> None:
    """An engine that declares `reset_cache` implements it; one that declares `wraps` plans the
    wrapped roles.

    To fix: declare less, or implement it.
    """
    capabilities, engine = _capabilities(subject), make(subject)
    if capabilities.reset_cache and type(engine).reset_cache is Engine.reset_cache:
        fail("it declares reset_cache but does not implement it")
    for name, _, plan in _plans(subject):
        roles = {process.role for process in plan.processes}
        if set(capabilities.wraps) - roles and set(capabilities.roles) <= roles:
            fail(f"{name}: wrapped roles {', '.join(capabilities.wraps)} are not in the plan")


@check(2, "engine")
def plan_is_hashable(subject: Subject) -> None:
    """A plan is plain data with an identity: hashable, and without facts of this machine.

    To fix: use symbols for hosts, ports, weights and scratch folders, and tuples instead of lists.
    """
    for name, _, plan in _plans(subject):
        try:
            hash(plan)
        except TypeError as error:
            fail(f"{name}: the plan is not hashable: {error}")
        here = str(Path.cwd())
        for process in plan.processes:
            values = [*map(str, process.flags.values()), *process.environment.values()]
            if any(here in value for value in values):
                fail(f"{name}: {process.role}: the plan contains the working directory")
