"""Levels 2 and 3: engines with one fault each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import attrs

from tokenbench.api import (
    COMPLETIONS,
    DECODE,
    PREFILL,
    SERVER,
    Counters,
    Diagnosis,
    Dialect,
    EndpointSpec,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    FrozenMap,
    LaunchPlan,
    MetricsPage,
    NoOptions,
    PluginContext,
    Pool,
    ProcessSpec,
    ServerClient,
    merge_pages,
    option,
    options,
)
from tokenbench_testing.kit import Subject

_PAGE = "served_tokens_total 12\n"
_FLAGS = {"--host": "{host}", "--port": "{port:http}", "--model": "{weights}"}


@options
class Keyed:
    """An option that names the variable of a secret."""

    key_env: str | None = option(default=None, help="NAME of the key's environment variable")


class Good(Engine):
    """Passes all checks."""

    flags: dict[str, Any] = _FLAGS

    def __init__(self, given: Any) -> None:
        self.given = given

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process."""
        tp = request.layout.pools[0].topology.tp
        flags = {**self.flags, **({"--tp": tp} if tp > 1 else {})}
        process = ProcessSpec(
            argv=("serve",), flags=FrozenMap(flags), accelerators=request.layout.accelerators
        )
        return LaunchPlan(processes=(self.amend(process),))

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """Hook for subclasses with a fault."""
        return process

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions."""
        return Dialect(codecs=(COMPLETIONS,))

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """One."""
        return Counters(generated_tokens=merge_pages(pages).sum("served_tokens_total"))


class Random(Good):
    """A different plan at each call."""

    numbers = itertools.count()

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """A counter."""
        return attrs.evolve(process, flags=process.flags.updated({"--id": next(self.numbers)}))


class Deaf(Good):
    """Ignores the degree that it declares."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """Always the same, without accelerators."""
        return LaunchPlan(processes=(ProcessSpec(argv=("serve",), flags=FrozenMap(_FLAGS)),))


class Unbound(Good):
    """Uses a port that it does not have."""

    flags = {**_FLAGS, "--metrics-port": "{port:metrics}"}


class Telling(Good):
    """The key's value is in the command line."""

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """Reads the variable itself."""
        key = os.environ.get(self.given.key_env or "", "")
        return attrs.evolve(process, flags=process.flags.updated({"--api-key": key}))


class Public(Good):
    """Listens on all addresses."""

    flags = {**_FLAGS, "--host": "0.0.0.0"}


class Twice(Good):
    """Two processes of one role."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The same again."""
        plan = super().plan(request)
        spare = attrs.evolve(plan.processes[0], accelerators=0)
        return attrs.evolve(plan, processes=(*plan.processes, spare))


class Idle(Good):
    """Declares to start a server, and does not."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """No process; the URL depends on the degree."""
        tp = request.layout.pools[0].topology.tp
        return LaunchPlan(endpoints=(EndpointSpec(url=f"http://127.0.0.1:{tp}"),))


class Greedy(Good):
    """More accelerators than requested."""

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """Eight."""
        return attrs.evolve(process, accelerators=process.accelerators + 8)


class Unwrappable(Good):
    """Its worker has another role."""

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """For any role."""
        return attrs.evolve(self.plan(request).processes[0], role="other")


class Split(Good):
    """Pools for prefill and for decode."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each pool."""
        (alone,) = super().plan(request).processes
        processes = tuple(
            attrs.evolve(
                alone, role=self.role(p), replicas=p.replicas, accelerators=p.topology.accelerators
            )
            for p in request.layout.pools
        )
        return LaunchPlan(
            processes=tuple(map(self.amend, processes)),
            endpoints=tuple(
                EndpointSpec(role=p.role, url="http://{host}:{port:http}") for p in processes
            ),
        )

    def role(self, pool: Pool) -> str:
        """The role of a pool's processes."""
        return pool.key


class Nameless(Split):
    """Gives each pool of a role the same name, apart from its number."""

    def role(self, pool: Pool) -> str:
        """For a pool without a name the right one."""
        return pool.role if not pool.name else f"{pool.role}-{len(pool.name)}{pool.replicas}"


class Uneven(Good):
    """More ranks than accelerators."""

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """Three."""
        return attrs.evolve(process, ranks=3)


class Orphan(Good):
    """Waits for a role that it does not plan."""

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """A store."""
        return attrs.evolve(process, after=("etcd",))


class Babel(Good):
    """A codec that is not registered."""

    def dialect(self, request: EngineRequest) -> Dialect:
        """Unknown."""
        return Dialect(codecs=("no-such-codec",))


class Zero(Good):
    """0 instead of None for missing counters."""

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """A default that is not None."""
        return Counters(generated_tokens=merge_pages(pages).sum("served_tokens_total") or 0.0)


class Misread(Good):
    """Parses the page wrongly."""

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """Into another counter."""
        return Counters(prompt_tokens=merge_pages(pages).sum("served_tokens_total"))


class Alarmed(Good):
    """Sees a failure in every log."""

    def diagnose(self, log: str) -> Diagnosis | None:
        """For any reason."""
        return Diagnosis(cause="something is wrong")


class Listing(Good):
    """A list in the plan."""

    def amend(self, process: ProcessSpec) -> ProcessSpec:
        """As a flag's value."""
        return attrs.evolve(process, flags=process.flags.updated({"--x": [1]}))  # type: ignore[dict-item]


class Hasty(Good):
    """Ready for any status."""

    def ready(self, server: ServerClient) -> bool:
        """It answers."""
        return server.get("/health").status > 0


class Trusting(Good):
    """Parses a reply without checking its status."""

    def version(self, server: ServerClient) -> str | None:
        """From a path that does not exist."""
        import json

        reply = server.get("/about")
        return str(json.loads(reply.text)["version"])


class Startled(Good):
    """Turns a lost connection into another exception."""

    def quiescent(self, server: ServerClient) -> bool | None:
        """Looks it up."""
        try:
            server.get("/metrics")
        except ConnectionError:
            raise KeyError("metrics") from None
        return None


def _subject(engine: type[Good], cls: type[Any] = NoOptions, **declared: Any) -> Subject:
    facts = {"weight_formats": ("safetensors",), "axes": ("tp",), "counters": True, **declared}

    def factory(given: Any, context: PluginContext) -> Engine:
        return engine(given)

    spec = EngineSpec(
        name="e",
        summary="a server",
        factory=factory,
        options=cls,
        capabilities=EngineCapabilities(**facts),
    )
    return Subject(
        kind="engine",
        name="e",
        module="bad_plugins.engine",
        spec=spec,
        options=cls(),
        data={"metrics_page": _PAGE, "counters": Counters(generated_tokens=12.0)},
    )


_SPLIT: dict[str, Any] = {"roles": (SERVER, PREFILL, DECODE)}
GOOD = [_subject(Good), _subject(Good, Keyed), _subject(Split, **_SPLIT)]
BAD = {
    "plan-is-pure": _subject(Random),
    "capabilities-are-true": _subject(Deaf),
    "symbols-bind": _subject(Unbound),
    "no-secret-in-the-command-line": _subject(Telling, Keyed),
    "binds-to-its-own-host": _subject(Public),
    "roles-are-unique": _subject(Twice),
    "starts-server-matches-the-plan": _subject(Idle),
    "accelerators-are-counted": _subject(Greedy),
    "workers-can-be-wrapped": _subject(Unwrappable),
    "pools-become-processes": _subject(Nameless, **_SPLIT),
    "ranks-divide-accelerators": _subject(Uneven),
    "named-roles-are-planned": _subject(Orphan),
    "dialect-is-valid": _subject(Babel),
    "counters-accept-any-page": _subject(Zero),
    "counters-are-parsed": _subject(Misread),
    "logs-of-any-kind-are-accepted": _subject(Alarmed),
    "declared-methods-exist": _subject(Good, reset_cache=True),
    "plan-is-hashable": _subject(Listing),
    "ready-means-ready": _subject(Hasty),
    "unknown-paths-are-handled": _subject(Trusting),
    "dead-servers-are-handled": _subject(Startled),
}
ALSO: dict[str, set[str]] = {
    # Such a plan cannot be placed.
    "ranks-divide-accelerators": {"symbols-bind"},
}
