"""Engines: what core asks a plugin about a model server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import attrs

from .codec import Dialect
from .frozen import FrozenMap
from .launch import Endpoint, LaunchPlan, ProcessSpec
from .model import Architecture, Tokenizer, Weights
from .topology import SERVER, Layout


@attrs.frozen(kw_only=True)
class EngineCapabilities:
    """What an engine supports. Core branches on these, never on a name.

    `starts_server`: False for a server that is already running; core then refuses what only a
    start would use (`port`, `flags`, `environment`, `launcher`). `weight_formats`: formats it can
    load (empty: it brings its own model, and core refuses `weights`). `axes`: parallel degrees of a
    Topology that may exceed 1. `roles`: pools it can be split into. `wraps`: roles whose processes
    come from another engine through `context.engine`. `hardware`: kinds it runs on (empty: any).
    `needs_accelerators`: core refuses to plan it for the host's CPU, which is the hardware of a
    suite that names none. `counters`, `reset_cache`: the method of that name is implemented.
    """

    starts_server: bool = True
    weight_formats: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    roles: tuple[str, ...] = (SERVER,)
    wraps: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    needs_accelerators: bool = False
    counters: bool = False
    reset_cache: bool = False


@attrs.frozen(kw_only=True)
class HardwareFacts:
    """The hardware a plan is made for. `kind` is the plugin's name, `sku` a name of its catalogue,
    `count` the number of accelerators.
    """

    kind: str
    sku: str
    count: int = 1


@attrs.frozen(kw_only=True)
class ServingNeeds:
    """What the deployment's workloads and evals require of the server.

    `context_tokens` is per request; `concurrency` is the largest number of requests in flight.
    `prefix_caching` False asks for a server that computes every prompt from scratch.
    """

    context_tokens: int | None = None
    concurrency: int = 1
    prefix_caching: bool = False
    logprobs: bool = False


@attrs.frozen(kw_only=True)
class EngineRequest:
    """Everything an engine may use to make its plan. Plain data.

    `model`: the name the user typed. `served_name`: the model name in requests. `weights`: the
    selected ones, None if the engine brings its own model. `layout`: pools with their topologies;
    `layout.accelerators` is the number of all accelerators.
    """

    model: str
    served_name: str
    weights: Weights | None
    architecture: Architecture
    hardware: HardwareFacts
    layout: Layout
    needs: ServingNeeds


@attrs.frozen(kw_only=True)
class Counters:
    """An engine's own counters in a common vocabulary; None for counters it does not have.

    Cumulative since the server started, except the gauges `running`, `waiting` and `kv_usage`.
    `prompt_tokens` counts all prompt tokens, computed or read from a cache; `cached_prompt_tokens`
    those read from a cache.
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
    """The response to a control request."""

    status: int
    text: str


class Server(Protocol):
    """A running deployment, as engine plugins access it. Core owns time limits and keys."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints; the first one receives the load."""

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """Send a GET request. Raises ConnectionError if the server does not answer."""

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """Send a POST request with a JSON body. Raises ConnectionError if the server does not
        answer.
        """


@attrs.frozen(kw_only=True)
class Negotiation:
    """What core finds out about a running server, with one-token requests, before it is measured.

    `tries`: the dialect with every field that is worth trying. A field that the server refuses is
    not sent. `firm`: names of fields of the dialect, or keys of its `extra_body`, that the user
    asked for: if the server refuses one of them, the run ends with an error that names it. `pages`:
    paths whose existence is recorded.
    """

    tries: Dialect
    firm: frozenset[str] = frozenset()
    pages: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class EngineContext:
    """What core gives an engine besides its options. `engine` returns another engine by name, so
    that an orchestrator can wrap its workers without importing it.
    """

    engine: Callable[[str], Engine]


class Engine(ABC):
    """One engine. Only :meth:`plan` is required; the other defaults mean "not supported"."""

    @abstractmethod
    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The processes to start. Pure: the same request gives the same plan.

        Raises:
            UsageError: the engine cannot do what the request asks.
        """

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The process of one role, for an engine that wraps this one. Pure.

        Raises:
            KeyError: the plan has no such role.
        """
        for process in self.plan(request).processes:
            if process.role == role:
                return process
        raise KeyError(role)

    def dialect(self, request: EngineRequest) -> Dialect:
        """The protocol fields that the server understands, given the request. By default only the
        chat codec, without extensions. Pure.
        """
        return Dialect()

    def negotiation(self, request: EngineRequest) -> Negotiation | None:
        """What core should find out about the running server; the result replaces :meth:`dialect`.

        None (the default): nothing, the dialect holds as it is.
        """
        return None

    def ready(self, server: Server) -> bool:
        """Whether the server reports ready. By default: ``GET /health`` answers 200.

        Called several times a second until it returns True; a ConnectionError means "not yet". The
        plan's `start_timeout_s` limits the wait. Core then confirms it with a one-token request, in
        the first codec of the dialect.
        """
        return server.get("/health").status == 200

    def planned_version(self) -> str | None:
        """The version or image digest that would be started, if it is known before the start.

        It is part of a point's identity. The version that the running server reports is recorded
        separately.
        """
        return None

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the served model, if the engine's options name one.

        It is used instead of the model's. Its hash belongs into :meth:`planned_version`.
        """
        return None

    def version(self, server: Server) -> str | None:
        """The version that the running server reports."""
        return None

    def facts(self, server: Server) -> FrozenMap[str]:
        """Other facts that the running server reports, for provenance."""
        return FrozenMap()

    def reset_cache(self, server: Server) -> bool | None:
        """Empty the prefix cache before and after a repeat. False if the server did not do it;
        None if this server has no such request.
        """
        return None

    def quiescent(self, server: Server) -> bool | None:
        """Whether the server has no running and no waiting requests; None if it does not report
        them.
        """
        return None

    def counters(self, text: str) -> Counters:
        """Parse the text of a metrics page. Pure."""
        return Counters()
