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

_SECRET = "kit-secret-0b5f"  # noqa: S105 - looked for where it must not be
_GARBAGE = ("", "# HELP x\n", "{]\0", "<html>502</html>", "name{a=} nan\n", "\ufffd" * 10)
_ANY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|^::$|\[::\]")


def make(subject: Subject) -> Engine:
    """A fresh engine of the subject."""
    # Only an engine that wraps another asks; to look for all plugins takes a while.
    context = EngineContext(
        engine=lambda name: PluginInstances(PluginRegistry()).engine(PluginRef.of(name))
    )
    found = subject.spec.factory(subject.options, subject.data.get("context", context))
    if not isinstance(found, Engine):
        fail(f"its factory made a {type(found).__name__}, not an Engine")
    return found


def _capabilities(subject: Subject) -> EngineCapabilities:
    found: EngineCapabilities = subject.spec.capabilities
    return found


def _requests(subject: Subject) -> Iterator[tuple[str, EngineRequest]]:
    yield from requests_of(_capabilities(subject))
    for index, request in enumerate(subject.data.get("requests") or ()):
        yield f"requests[{index}]", request


def _plans(subject: Subject) -> Iterator[tuple[str, EngineRequest, LaunchPlan]]:
    """Plans of all requests that the engine can plan; another check sees that it can."""
    for name, request in _requests(subject):
        try:
            yield name, request, make(subject).plan(request)
        except UsageError:
            continue


@check(2, "engine")
def plan_is_pure(subject: Subject) -> None:
    """The same request gives the same plan, from the same engine and from another one.

    To fix: no clock, no random numbers, no counters, no free ports in `plan`; use symbols.
    """
    for name, request in _requests(subject):
        try:
            first = make(subject)
            plans = [first.plan(request), first.plan(request), make(subject).plan(request)]
        except UsageError:
            continue
        if plans[1] != plans[0] or plans[2] != plans[0]:
            fail(f"{name}: plan() gives another plan when asked again")


@check(2, "engine")
def capabilities_are_true(subject: Subject) -> None:
    """Whatever the engine declares (formats, hardware, axes, roles) it can plan; an axis or a role
    changes the plan.

    To fix: declare less, or plan it.
    """
    base: LaunchPlan | None = None
    for name, request in requests_of(_capabilities(subject)):
        try:
            plan = make(subject).plan(request)
        except UsageError as error:
            fail(f"{name} is declared and cannot be planned: {error.message}")
        base = plan if base is None else base
        if name.startswith(("axis ", "roles ")) and plan.processes and plan == base:
            fail(f"{name} is declared and changes nothing in the plan")


@check(2, "engine")
def symbols_bind(subject: Subject) -> None:
    """Every symbol of a plan has a value at launch: hosts, ports, files and roles that it names are
    its own.

    To fix: name ports in `ports`, files in `files`; `{decode.0.host}` needs a role `decode`.
    """
    for _, _, plan in _plans(subject):
        list(_bound(plan))
        facts = symbol_values(allocation_for(plan), "", 0)
        for endpoint in plan.endpoints:
            bind_url(endpoint, facts)


def _bound(plan: LaunchPlan) -> Iterator[BoundProcess]:
    allocation = allocation_for(plan)
    for process in plan.processes:
        for index in range(process.replicas):
            facts = symbol_values(allocation, process.role, index)
            facts |= {"cpus": "2", "scratch": "scratch", "weights": "weights"}
            facts |= {f"file:{file.name}": f"scratch/{file.name}" for file in process.files}
            named = [s for text in process.environment.values() for s in symbols(text)]
            secrets = {s.removeprefix("secret:"): _SECRET for s in named if s.startswith("secret:")}
            yield bind_process(process, index, facts, secrets)


@check(2, "engine")
def no_secret_in_the_command_line(subject: Subject) -> None:
    """No value of a secret option, and none of a variable whose name an option gives, stands in
    argv, flags or files: anybody on the machine can read those.

    To fix: `{secret:NAME}` in the environment of the process.
    """
    options = subject.options
    fields = attrs.fields(type(options)) if attrs.has(type(options)) else ()
    secrets = [f.name for f in fields if f.metadata.get("secret")]
    named = [f.name for f in fields if f.name.endswith("_env")]
    if not secrets and not named:
        skip("it has no option for a secret")
    changes: dict[str, Any] = dict.fromkeys(secrets, _SECRET)
    changes |= dict.fromkeys(named, "TOKENBENCH_KIT_SECRET")
    before = os.environ.get("TOKENBENCH_KIT_SECRET")
    os.environ["TOKENBENCH_KIT_SECRET"] = _SECRET
    try:
        told = attrs.evolve(subject, options=attrs.evolve(options, **changes))
        for name, _, plan in _plans(told):
            if _SECRET in repr(plan):
                fail(f"{name}: the plan holds the value of {', '.join(secrets + named)}")
    finally:
        if before is None:
            del os.environ["TOKENBENCH_KIT_SECRET"]
        else:
            os.environ["TOKENBENCH_KIT_SECRET"] = before


@check(2, "engine")
def binds_to_its_own_host(subject: Subject) -> None:
    """A server listens on `{host}`, which is 127.0.0.1 here, never on every address.

    To fix: pass `{host}` where `0.0.0.0` stands.
    """
    for name, _, plan in _plans(subject):
        for process in plan.processes:
            said = [*process.argv, *map(str, process.flags.values()), *process.environment.values()]
            if any(_ANY_ADDRESS.search(text) for text in said):
                fail(f"{name}: {process.role} listens on every address")


@check(2, "engine")
def roles_are_unique(subject: Subject) -> None:
    """A plan has one process a role (replicas are a number), and every endpoint's role is one of
    them.

    To fix: use `replicas`, or another role's name.
    """
    for name, _, plan in _plans(subject):
        roles = Counter(process.role for process in plan.processes)
        twice = [role for role, count in roles.items() if count > 1]
        if twice:
            fail(f"{name}: two processes have the role {twice[0]!r}")
        if not plan.endpoints:
            fail(f"{name}: the plan has no endpoint to load")
        strangers = [e.role for e in plan.endpoints if plan.processes and e.role not in roles]
        if strangers:
            fail(f"{name}: an endpoint is of the role {strangers[0]!r}, which has no process")


@check(2, "engine")
def starts_server_matches_the_plan(subject: Subject) -> None:
    """`starts_server` and the plan agree: processes to start, or none.

    To fix: declare `starts_server=False` for a server that is already up.
    """
    declared = _capabilities(subject).starts_server
    for name, _, plan in _plans(subject):
        if bool(plan.processes) != declared:
            fail(f"{name}: starts_server is {declared}, {len(plan.processes)} processes planned")


@check(2, "engine")
def accelerators_are_counted(subject: Subject) -> None:
    """The accelerators of all replicas of a plan are those of the layout, or none on hardware that
    has none to give out.

    To fix: `ProcessSpec.accelerators` counts those of one replica.
    """
    for name, request, plan in _plans(subject):
        have = sum(p.accelerators * p.replicas for p in plan.processes)
        if plan.processes and have not in (0, request.layout.accelerators):
            fail(f"{name}: {have} accelerators planned, {request.layout.accelerators} asked for")


@check(2, "engine")
def workers_can_be_wrapped(subject: Subject) -> None:
    """`worker(request, role)` gives the process of each role of the plan, so that an orchestrator
    can wrap it; an unknown role is a KeyError.

    To fix: leave `worker` as it is, or answer for the roles of the plan.
    """
    for name, request, plan in _plans(subject):
        engine = make(subject)
        for process in plan.processes:
            worker = engine.worker(request, process.role)
            if worker.role != process.role:
                fail(f"{name}: worker({process.role!r}) is of the role {worker.role!r}")
        try:
            engine.worker(request, "no-such-role")
        except KeyError:
            continue
        fail(f"{name}: worker() of an unknown role gives something")


@check(2, "engine")
def dialect_is_valid(subject: Subject) -> None:
    """The dialect names at least one codec that is built in or registered, and asking for it
    again gives the same.

    To fix: register the codec in the group `tokenbench.codecs`.
    """
    request = base_request(_capabilities(subject))
    first, again = make(subject).dialect(request), make(subject).dialect(request)
    if first != again:
        fail("dialect() differs when asked again")
    known = {*BUILT_IN, *PluginRegistry().names("codec"), *subject.data.get("codecs", ())}
    unknown = [codec for codec in first.codecs if codec not in known]
    if not first.codecs or unknown:
        fail(f"codecs: {', '.join(unknown) or 'none'}; known: {', '.join(sorted(known))}")
    if first.token_id_prompts and first.codecs[0] == "openai-chat":
        fail(f"token-id prompts cannot go to a chat endpoint; prefer {COMPLETIONS}")


@check(2, "engine")
def counters_accept_any_page(subject: Subject) -> None:
    """`counters` of an empty page, of garbage and of an error page gives counters that are None.

    To fix: use `parse_prometheus` and `.get`.
    """
    engine = make(subject)
    for page in _GARBAGE:
        found = engine.counters(page)
        if found != Counters():
            fail(f"counters of {page[:20]!r}: {found}")


@check(2, "engine")
def counters_are_parsed(subject: Subject) -> None:
    """The captured metrics page is read to what its author says it says.

    To fix: compare with the engine's own documentation of its metrics.
    """
    if not _capabilities(subject).counters:
        skip("it declares no counters")
    if type(make(subject)).counters is Engine.counters:
        fail("it declares counters and does not read any")
    page = subject.want("metrics_page", "a page captured from the real server")
    wanted = subject.want("counters", "what that page says")
    found = make(subject).counters(page)
    if found != wanted:
        fail(f"the page was read as {found}, its author says {wanted}")


@check(2, "engine")
def declared_methods_exist(subject: Subject) -> None:
    """`reset_cache` and `wraps` are declared by engines that do it: the method is written, the
    wrapped worker's role is planned.

    To fix: declare less, or write it.
    """
    capabilities, engine = _capabilities(subject), make(subject)
    if capabilities.reset_cache and type(engine).reset_cache is Engine.reset_cache:
        fail("it declares reset_cache and does not have it")
    for name, _, plan in _plans(subject):
        roles = {process.role for process in plan.processes}
        if set(capabilities.wraps) - roles and set(capabilities.roles) <= roles:
            fail(f"{name}: it declares to wrap {', '.join(capabilities.wraps)}, not in the plan")


@check(2, "engine")
def plan_is_hashable(subject: Subject) -> None:
    """A plan is plain data with an identity: hashable, and free of this machine's facts.

    To fix: symbols for hosts, ports, weights and scratch folders; tuples for lists.
    """
    for name, _, plan in _plans(subject):
        try:
            hash(plan)
        except TypeError as error:
            fail(f"{name}: the plan cannot be hashed: {error}")
        here = str(Path.cwd())
        for process in plan.processes:
            values = [*map(str, process.flags.values()), *process.environment.values()]
            if any(here in value for value in values):
                fail(f"{name}: {process.role}: the folder of this command stands in the plan")
