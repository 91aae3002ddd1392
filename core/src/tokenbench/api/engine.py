"""Engines: what core asks a plugin about a model server."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import attrs

from .architecture import Architecture
from .codec import Dialect
from .counters import Counters
from .errors import UsageError
from .frozen import FrozenMap
from .launch import Endpoint, LaunchPlan, ProcessSpec
from .log_messages import Diagnosis, LogMessages
from .model import Parsers, Tokenizer, Weights
from .prometheus import MetricsPage, parse_metrics
from .sku import HardwareFacts
from .topology import SERVER, Layout, Pool


@attrs.frozen(kw_only=True)
class EngineCapabilities:
    """What an engine supports. Core branches on these, never on a name.

    `starts_server`: False for a server that is already running; core then refuses settings that
    only a start would use (`port`, `flags`, `environment`, `launcher`). `weight_formats`: formats
    it can load (empty: it brings its own model, and core refuses `weights`). `axes`: parallel
    degrees of a Topology that may exceed 1. `roles`: pools it can be split into. `hardware`: kinds
    it runs on (empty: any). `needs_accelerators`: core refuses to plan it for the host's CPU, a
    suite's default hardware. `counters`, `reset_cache`: the method of that name is implemented.
    `control_timeout_s`: limit of each request through :class:`ServerClient`; an engine may answer
    none for a minute while it compiles.

    The following are shown to users, who compare engines by them. `precisions`: of the weights that
    it is known to load. `speculation`: methods of drafting (``ngram``, ``draft``, ``eagle``,
    ``eagle3``, ``mtp``). `kv_transfer`: what carries the KV cache from prefill to decode
    (``nixl``, ``mooncake``, ``mori``, ...). `kv_offload`: where the KV cache may be kept besides
    the accelerator's memory. `prefix_caching_off`: a server can be started without a prefix cache.
    `tool_calls`: it finds tool calls in answers. `wide_ep`: experts may be spread over hosts; core
    refuses that otherwise.

    `lacks`: the axes, roles, precisions and fields that it does not support, each with the reason:
    a short sentence with version and source. Core refuses weights of such a precision, and shows
    the reason when it refuses anything else in it.

    `builds`: the `axes`, `roles`, `speculation` and `lacks` of builds that support less, by the
    name of the hardware plugin. Core refuses what such a build does not support.
    """

    starts_server: bool = True
    weight_formats: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    roles: tuple[str, ...] = (SERVER,)
    hardware: tuple[str, ...] = ()
    needs_accelerators: bool = False
    counters: bool = False
    reset_cache: bool = False
    control_timeout_s: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    precisions: tuple[str, ...] = ()
    speculation: tuple[str, ...] = ()
    kv_transfer: tuple[str, ...] = ()
    kv_offload: tuple[str, ...] = ()
    prefix_caching_off: bool = False
    tool_calls: bool = False
    wide_ep: bool = False
    lacks: FrozenMap[str] = FrozenMap()
    builds: FrozenMap[EngineCapabilities] = FrozenMap()

    def __attrs_post_init__(self) -> None:
        both = [name for name in self.lacks if name in self.names]
        if both:
            raise ValueError(f"an engine cannot both have and lack {', '.join(both)}")

    @property
    def names(self) -> tuple[str, ...]:
        """What it supports: the names in its lists, and its fields that are True."""
        found: list[str] = []
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                found += value
            elif value is True:
                found.append(field.name)
        return tuple(found)


@attrs.frozen(kw_only=True)
class ServingNeeds:
    """What the deployment's workloads and evals require of the server.

    `context_tokens` is per request; `concurrency` is the largest number of requests in flight.
    `prefix_caching` False asks for a server that computes every prompt from scratch.
    `real_acceptance` asks for a server that verifies drafts, even if the options simulate it.
    """

    context_tokens: int | None = None
    concurrency: int = 1
    prefix_caching: bool = False
    logprobs: bool = False
    real_acceptance: bool = False


@attrs.frozen(kw_only=True)
class EngineRequest:
    """Everything an engine may use to make its plan. Plain data.

    `model`: the model's name. `served_name`: the model name in requests. `weights`: the selected
    ones, None if the engine brings its own model. `layout`: pools with their topologies;
    `layout.accelerators` is the number of all accelerators. `extra_weights`: the model's draft
    models, heads and adapters by name; core finds those whose symbol ``{weights:NAME}`` the plan
    contains. `parsers`: the model's for this engine, None if unknown.
    """

    model: str
    served_name: str
    weights: Weights | None
    architecture: Architecture
    hardware: HardwareFacts
    layout: Layout
    needs: ServingNeeds
    extra_weights: FrozenMap[Weights] = FrozenMap()
    parsers: Parsers | None = None

    def on(self, pool: Pool) -> EngineRequest:
        """The request with the hardware that a pool runs on."""
        return attrs.evolve(self, hardware=pool.hardware or self.hardware)

    def weights_named(self, name: str, *purposes: str) -> Weights:
        """The extra weights of that name, for one of these purposes (none given: any).

        Raises:
            UsageError: the model has none of that name, or they are for something else.
        """
        known = ", ".join(f"{key} ({w.purpose})" for key, w in self.extra_weights.items())
        found = self.extra_weights.get(name)
        if found is None:
            raise UsageError(
                f"the model {self.model!r} has no weights named {name!r}",
                hint=f"its extra weights: {known or 'none'}",
            )
        if purposes and found.purpose not in purposes:
            raise UsageError(
                f"the weights {name!r} of the model {self.model!r} are for {found.purpose!r}, not "
                f"for {' or '.join(map(repr, purposes))}",
                hint=f"its extra weights: {known}",
            )
        return found


@attrs.frozen(kw_only=True)
class Reply:
    """The response to a control request."""

    status: int
    text: str

    def data(self) -> dict[str, Any]:
        """The JSON object of the response; empty for a status other than 200 or another body."""
        try:
            found = json.loads(self.text) if self.status == 200 else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class ServerClient(Protocol):
    """A running deployment, as engine plugins access it. Core sets time limits and API keys."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints; the first one receives the load."""

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """Send a GET request. Raises ConnectionError if the server does not answer."""

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """Send a POST request with a JSON body. Raises ConnectionError if the server does not
        answer.
        """


def metrics_page(server: ServerClient, endpoint: int = 0, path: str = "/metrics") -> MetricsPage:
    """The server's current metrics page; without metrics if it has none.

    Raises:
        ConnectionError: the server does not answer.
    """
    at = server.endpoints[endpoint]
    reply = server.get(path, endpoint=endpoint)
    return parse_metrics(reply.text if reply.status == 200 else "", role=at.role, index=at.index)


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


class Engine(ABC):
    """One engine. Only :meth:`plan` is required; the other defaults mean "not supported".

    `messages`: log messages that :meth:`diagnose` and :meth:`phase` recognise.
    """

    messages: ClassVar[LogMessages | None] = None

    @abstractmethod
    def plan(self, request: EngineRequest) -> LaunchPlan:
        """The processes to start. Pure: the same request gives the same plan.

        Raises:
            UsageError: the engine cannot do what the request asks.
        """

    def worker(self, request: EngineRequest, role: str) -> ProcessSpec:
        """The processes of one pool, by its key, as an engine that wraps this one starts them: with
        the model's flags, without those of the HTTP server. Pure. By default, as planned.

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

    def ready(self, server: ServerClient) -> bool:
        """Whether the server reports ready. By default: ``GET /health`` answers 200.

        Called several times a second until it returns True; a ConnectionError means "not yet". The
        plan's `start_timeout_s` limits the wait. Core then confirms it with a one-token request, in
        the first codec of the dialect.
        """
        return server.get("/health").status == 200

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """Whether `plan`, with the settings of all layers, simulates how many drafted tokens are
        accepted. The answers of such a server are not the model's, so evals do not use it. Pure.
        """
        return False

    def planned_version(self) -> str | None:
        """The version or image digest that would be started, if it is known before the start. Not
        called for processes that start on other hosts.

        It is part of a point's identity. The version that the running server reports is recorded
        separately.
        """
        return None

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the served model, if the engine's options name one.

        It is used instead of the model's. Include its hash in :meth:`planned_version`.
        """
        return None

    def version(self, server: ServerClient) -> str | None:
        """The version that the running server reports."""
        return None

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Other facts that the running server reports, for provenance."""
        return FrozenMap()

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix cache before and after a repeat. False if the server did not do it;
        None if this server has no such request.
        """
        return None

    def quiescent(self, server: ServerClient) -> bool | None:
        """Whether the server has no running and no waiting requests; None if it does not report the
        running ones. By default, from :meth:`counters` of all metrics pages.
        """
        found = self.counters(
            [
                metrics_page(server, number)
                for number, at in enumerate(server.endpoints)
                if at.metrics_url is not None
            ]
        )
        return None if found.running is None else found.running == 0 and not found.waiting

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The deployment's counters, from the metrics pages of its processes. Pure.

        Count a prompt once, even if a prefill process computes it and a decode process continues it
        (:func:`counters_of_pools`). Core also asks for the counters of each page alone, to keep
        them by role and replica.
        """
        return Counters()

    def diagnose(self, log: str) -> Diagnosis | None:
        """Why a process died or did not become ready, from the end of its log. By default, from
        `messages`. Pure.

        None: unknown; core then shows the lines of the log that name an error.
        """
        return None if self.messages is None else self.messages.diagnose(log)

    def phase(self, log: str) -> str | None:
        """What a starting process does, from the end of its log, in a few words such as ``loading
        weights 45 %``. By default, from `messages`. Pure.

        None: unknown. Called once a second until the server is ready.
        """
        return None if self.messages is None else self.messages.phase(log)
