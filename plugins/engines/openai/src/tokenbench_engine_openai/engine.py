"""A server that somebody else started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    LaunchPlan,
    Server,
    UsageError,
    parse_prometheus,
)

from .servers import COUNT_COMPUTED_ONLY, SERVERS

if TYPE_CHECKING:
    from .plugin import OpenAIOptions

_VERSION_KEYS = ("version", "sglang_version", "build_info")
_NOT_FOUND = 404
# From here on a status says that the server cannot answer, whatever was asked.
_UNABLE = 500


class OpenAIServer(Engine):
    """Starts nothing; asks, loads and reads what is there."""

    def __init__(self, options: OpenAIOptions) -> None:
        if options.server not in SERVERS:
            raise UsageError(
                f"engine openai: unknown server {options.server!r}",
                hint=f"one of: {', '.join(SERVERS)}",
            )
        self._options = options
        self._known = SERVERS[options.server]
        self._url = base_url(options.base_url)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """No process; the endpoint as it was named."""
        endpoint = EndpointSpec(url=self._url, metrics_path=self._known.metrics)
        return LaunchPlan(
            endpoints=(endpoint,),
            served_name=self._options.model,
            api_key_env=self._options.api_key_env,
            start_timeout_s=self._options.start_timeout_s,
        )

    def dialect(self, request: EngineRequest) -> Dialect:
        """What the kind of server understands; exact lengths need a completions endpoint."""
        known = self._known
        codecs: tuple[str, ...] = (CHAT, COMPLETIONS)
        if known.token_id_prompts:
            codecs = (COMPLETIONS, CHAT)
        if self._options.codec is not None:
            codecs = (CHAT,) if self._options.codec == "chat" else (COMPLETIONS,)
        return Dialect(
            codecs=codecs,
            token_id_prompts=known.token_id_prompts,
            ignore_eos=known.ignore_eos,
            min_tokens=known.min_tokens,
            continuous_usage=known.continuous_usage,
            seed=known.seed,
            extra_body=known.extra_body,
        )

    def ready(self, server: Server) -> bool:
        """Its health page says so; one that has none must answer, and not that it is unable."""
        if self._known.health is not None:
            reply = server.get(self._known.health)
            if reply.status != _NOT_FOUND:
                return reply.status == 200
        return server.get("/v1/models").status < _UNABLE

    def version(self, server: Server) -> str | None:
        """What its version page tells."""
        if self._known.version is None:
            return None
        reply = server.get(self._known.version)
        if reply.status != 200:
            return None
        try:
            page = json.loads(reply.text)
        except ValueError:
            return None
        found = next((page[key] for key in _VERSION_KEYS if key in page), None)
        return f"{self._options.server} {found}" if found is not None else None

    def reset_cache(self, server: Server) -> bool:
        """Ask it to empty its prefix cache, where it has a page for that."""
        if self._known.reset_cache is None:
            return False
        return server.post(self._known.reset_cache).status == 200

    def quiescent(self, server: Server) -> bool | None:
        """Nothing running or waiting, by its counters."""
        if self._known.metrics is None:
            return None
        counters = self.counters(server.get(self._known.metrics).text)
        if counters.running is None:
            return None
        return counters.running == 0 and not counters.waiting

    def counters(self, text: str) -> Counters:
        """Its metrics page in our vocabulary."""
        page = parse_prometheus(text)
        found = {ours: page.get(theirs) for ours, theirs in self._known.counters.items()}
        counters = Counters(**found)
        cached = counters.cached_prompt_tokens
        if self._options.server in COUNT_COMPUTED_ONLY and counters.prompt_tokens is not None:
            return attrs.evolve(counters, prompt_tokens=counters.prompt_tokens + (cached or 0.0))
        return counters


def base_url(text: str) -> str:
    """A server's address without path or trailing slash; ``/v1`` is taken off.

    Raises:
        UsageError: it is no http address, or holds a password.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"engine openai: base_url: expected http://HOST:PORT, got {text!r}",
            hint="for example openai:base_url=http://127.0.0.1:8000,model=NAME",
        )
    if parts.username or parts.password:
        raise UsageError(
            "engine openai: base_url must not hold a user or password",
            hint="put the key into a variable and name it with api_key_env=NAME",
        )
    return text.rstrip("/").removesuffix("/v1")
