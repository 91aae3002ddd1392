"""Engines that start servers with an OpenAI-compatible API: what they have in common."""

from __future__ import annotations

from typing import ClassVar, Generic, Protocol, TypeVar

from .engine import Engine, ServerClient
from .frozen import FrozenMap
from .interpreter import installed_version, interpreter_path
from .launch import EndpointSpec, server_url
from .topology import Layout

ROUTER = "router"
"""The role of a router in the plans of such an engine."""


class _Options(Protocol):
    @property
    def python(self) -> str | None: ...


OptionsT = TypeVar("OptionsT", bound=_Options)


class ServerEngine(Engine, Generic[OptionsT]):
    """An engine that starts one server per replica of a pool and, if it has a router, a process of
    the role ``router`` in front of them.

    `name`: the engine's. `distribution`: the Python package whose version is the engine's version.
    `metrics_path`: the page of counters of a server.

    It reads the option `python`, the interpreter with the engine: a path, or a name on PATH; None
    for the interpreter of bench. It also reads `speculation` and `synthetic_acceptance_length`
    where the engine has them: results of a server that accepts drafts at random say so.
    """

    name: ClassVar[str]
    distribution: ClassVar[str]
    metrics_path: ClassVar[str | None] = "/metrics"

    def __init__(self, options: OptionsT) -> None:
        self.options = options
        self.python = interpreter_path(options.python)

    def endpoints(self, layout: Layout, *, routed: bool = False) -> tuple[EndpointSpec, ...]:
        """One endpoint per server, after that of a router. A router has no counters."""
        servers = (self.endpoint(key) for key in layout.keys)
        router = EndpointSpec(role=ROUTER, url=server_url(), metrics_path=None)
        return (*((router,) if routed else ()), *servers)

    def endpoint(self, role: str) -> EndpointSpec:
        """The endpoints of the processes of a role."""
        return EndpointSpec(role=role, url=server_url(), metrics_path=self.metrics_path)

    def servers(self, server: ServerClient) -> list[int]:
        """The numbers of the endpoints that are the engine's own, not the router's."""
        return [number for number, at in enumerate(server.endpoints) if at.role != ROUTER]

    def planned_version(self) -> str | None:
        """The version of `distribution` in the interpreter's environment."""
        return self.named(installed_version(self.python, self.distribution))

    def version(self, server: ServerClient) -> str | None:
        """What the servers report; if they differ, each version once: ``vllm 0.12.0, 0.13.0``."""
        found = (self.server_version(server, number) for number in self.servers(server))
        return self.named(", ".join(dict.fromkeys(str(v) for v in found if v is not None)) or None)

    def server_version(self, server: ServerClient, number: int) -> object:
        """What ``GET /version`` of one server reports, by the number of its endpoint."""
        return server.get("/version", endpoint=number).data().get("version")

    def named(self, version: object) -> str | None:
        """The engine and its version, as results have it, with a mark for synthetic acceptance."""
        length = self._synthetic_length
        mark = "" if length is None else f" (synthetic acceptance {length:g})"
        return None if version is None else f"{self.name} {version}{mark}"

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """The context of the first server, and whether the acceptance of drafts is real."""
        facts: dict[str, str] = {}
        first = self.servers(server)[0]
        listed = server.get("/v1/models", endpoint=first).data().get("data")
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            longest = listed[0].get("max_model_len")
            facts |= {} if longest is None else {"max_model_len": str(longest)}
        if getattr(self.options, "speculation", "none") != "none":
            length = self._synthetic_length
            facts["acceptance"] = "real" if length is None else f"synthetic {length:g}"
        return FrozenMap(facts)

    @property
    def _synthetic_length(self) -> float | None:
        length: float | None = getattr(self.options, "synthetic_acceptance_length", None)
        return length
