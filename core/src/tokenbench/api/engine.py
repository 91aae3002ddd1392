"""Engines: what a plugin must know of a model server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import attrs

from .codec import Dialect
from .frozen import FrozenMap
from .launch import Endpoint, LaunchPlan, ProcessSpec
from .model import Architecture, Weights
from .topology import SERVER, Layout


@attrs.frozen(kw_only=True)
class EngineCapabilities:
    """What core may ask of an engine; it branches on these, never on a name.

    `starts_server`: False for a server that is already up. `weight_formats`: what it can load
    (empty: it brings its own model). `axes`: parallel degrees of a Topology that may exceed 1.
    `roles`: the pools it can be spread over. `wraps`: roles whose processes come from another
    engine through `context.engine`. `hardware`: kinds it runs on (empty: any). `counters`,
    `reset_cache`: the methods of that name do something.
    """

    starts_server: bool = True
    weight_formats: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    roles: tuple[str, ...] = (SERVER,)
    wraps: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    counters: bool = False
    reset_cache: bool = False


@attrs.frozen(kw_only=True)
class HardwareFacts:
    """The hardware that a plan is made for: `kind` is the plugin's name, `sku` its catalogue's."""

    kind: str
    sku: str
    count: int = 1


@attrs.frozen(kw_only=True)
class ServingNeeds:
    """What the deployment's workloads and evals ask of the server.

    `context_tokens` is per sequence; `concurrency` the largest number of sequences in flight.
    `prefix_caching` False asks for a server that computes every prompt anew.
    """

    context_tokens: int | None = None
    concurrency: int = 1
    prefix_caching: bool = False
    logprobs: bool = False


@attrs.frozen(kw_only=True)
class EngineRequest:
    """Everything an engine may use to make its plan. Pure data."""

    model: str
    served_name: str
    weights: Weights | None
    architecture: Architecture
    hardware: HardwareFacts
    layout: Layout
    needs: ServingNeeds


@attrs.frozen(kw_only=True)
class Counters:
    """An engine's own counters in one vocabulary; None where it has no such counter.

    Cumulative since its start, except `running` and `waiting`, which are gauges. `prompt_tokens`
    counts tokens of prompts whether computed or read from a cache; `cached_prompt_tokens` those
    read from a cache.
    """

    prompt_tokens: float | None = None
    cached_prompt_tokens: float | None = None
    generated_tokens: float | None = None
    requests: float | None = None
    running: float | None = None
    waiting: float | None = None
    draft_tokens: float | None = None
    accepted_draft_tokens: float | None = None
    preemptions: float | None = None
    kv_usage: float | None = None


@attrs.frozen(kw_only=True)
class Reply:
    """An answer to a control call."""

    status: int
    text: str


class Server(Protocol):
    """A running deployment as an engine plugin may talk to it. Core owns time limits and keys."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, the one that takes the load first."""

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """GET. Raises ConnectionError when it does not answer."""

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """POST of a JSON body. Raises ConnectionError when it does not answer."""


@attrs.frozen(kw_only=True)
class EngineContext:
    """What core gives an engine besides its options. `engine` finds another one by name, so that
    an orchestrator can wrap its workers without importing it.
    """

    engine: Callable[[str], Engine]


class Engine(ABC):
    """One engine. Only :meth:`plan` must be written; each default is the honest "does not"."""

    @abstractmethod
    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The processes to start. Pure: the same request gives the same plan.

        Raises:
            UsageError: what is asked cannot be done by this engine.
        """

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one role, for an engine that wraps this one. Pure."""
        for process in self.plan(request).processes:
            if process.role == role:
                return process
        raise KeyError(role)

    def dialect(self, request: EngineRequest) -> Dialect:
        """What the server understands, as far as the request tells."""
        return Dialect()

    def ready(self, server: Server) -> bool:
        """Whether it says that it serves. Core then proves it with a one-token generation."""
        return server.get("/health").status == 200

    def planned_version(self) -> str | None:
        """The version or image digest that a start would give, as far as that is known beforehand.

        It is part of a point's identity; the version observed in the running server is recorded.
        """
        return None

    def version(self, server: Server) -> str | None:
        """The version as the running server tells it."""
        return None

    def facts(self, server: Server) -> FrozenMap[str]:
        """Other things the running server tells of itself, for provenance."""
        return FrozenMap()

    def reset_cache(self, server: Server) -> bool:
        """Empty the prefix cache between points; False if it cannot."""
        return False

    def quiescent(self, server: Server) -> bool | None:
        """Whether nothing runs or waits in the server; None if it cannot tell."""
        return None

    def counters(self, text: str) -> Counters:
        """An engine's metrics page in our vocabulary. Pure."""
        return Counters()
