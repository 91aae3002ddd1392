"""The engine `openai`: a server that is already running."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Counters,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FrozenMap,
    LaunchPlan,
    MetricsPage,
    Negotiation,
    ServerClient,
    Tokenizer,
    UsageError,
    merge_pages,
    parse_metrics,
)

from .access import access, api_key, extra_body
from .counters import read_counters
from .servers import COUNT_COMPUTED_ONLY, SERVERS
from .tokenizer import file_hash, folder_tokenizer

if TYPE_CHECKING:
    from .options import OpenAIOptions

_VERSION_KEYS = ("version", "sglang_version", "build_info")
# Whether these exist is recorded.
_PAGES = ("/v1/models", "/version", "/metrics")
_CODECS = {"chat": CHAT, "completions": COMPLETIONS, "embeddings": EMBEDDINGS}
_NOT_FOUND = 404
_SERVER_ERROR = 500


class OpenAIServer(Engine):
    """Starts no process; uses the given address."""

    def __init__(self, options: OpenAIOptions) -> None:
        if options.server not in SERVERS:
            raise UsageError(
                f"engine openai: unknown server {options.server!r}",
                hint=f"one of: {', '.join(SERVERS)}",
            )
        self._options = options
        self._known = SERVERS[options.server]
        self._url = base_url(options.base_url)
        self._access = access(options)
        self._key = api_key(options)
        self._extra_body = extra_body(options)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """No process; the endpoint at the given address."""
        endpoint = EndpointSpec(url=self._url, metrics_path=self._known.metrics)
        return LaunchPlan(
            endpoints=(endpoint,),
            served_name=self._options.model,
            api_key_env=self._key,
            access=self._access,
            start_timeout_s=self._options.start_timeout_s,
        )

    def dialect(self, request: EngineRequest) -> Dialect:
        """The protocol fields of this kind of server. Exact lengths need the completions codec."""
        return self._dialect(tried=False)

    def negotiation(self, request: EngineRequest) -> Negotiation | None:
        """The fields that the options leave open; all of them for an unknown server."""
        options = self._options
        if not options.probe or options.codec == "embeddings":
            return None  # Only fields of generation requests can be tried.
        asked = {
            "ignore_eos": options.ignore_eos,
            "min_tokens": options.min_tokens,
            "token_id_prompts": options.token_ids,
            "usage": options.stream_options,
            "max_tokens_field": options.max_tokens_field,
        }
        firm = {name for name, value in asked.items() if value} | set(options.extra_body)
        return Negotiation(tries=self._dialect(tried=True), firm=frozenset(firm), pages=_PAGES)

    def _dialect(self, *, tried: bool) -> Dialect:
        """The fields that the server is known to accept; with `tried`, also those that an unknown
        server may accept.
        """
        known, options = self._known, self._options
        maybe = tried and options.server == "generic"
        token_ids = _given(options.token_ids, known.token_id_prompts)
        usage = _given(options.stream_options, known.usage)
        return Dialect(
            codecs=self._codecs(token_ids=token_ids),
            token_id_prompts=_given(options.token_ids, known.token_id_prompts or maybe),
            ignore_eos=_given(options.ignore_eos, known.ignore_eos or maybe),
            min_tokens=_given(options.min_tokens, known.min_tokens or maybe),
            usage=usage,
            continuous_usage=usage and known.continuous_usage,
            seed=known.seed or maybe,
            done_event=known.done_event,
            max_tokens_field=options.max_tokens_field or "max_tokens",
            extra_body=self._fields(),
            affinity_header=options.affinity_header or self._known.affinity_header,
        )

    def _codecs(self, *, token_ids: bool) -> tuple[str, ...]:
        if self._options.codec is not None:
            return (_CODECS[self._options.codec],)
        return (COMPLETIONS, CHAT) if token_ids else (CHAT, COMPLETIONS)

    def _fields(self) -> FrozenMap[Any]:
        return FrozenMap({**self._known.extra_body, **self._extra_body})

    def ready(self, server: ServerClient) -> bool:
        """The health page answers 200. Without a health page, `/v1/models` answers without a server
        error. A router that is up before its workers must list the model.
        """
        if self._known.lists_models and not self._lists_model(server):
            return False
        if self._known.health is not None:
            reply = server.get(self._known.health)
            if reply.status != _NOT_FOUND:
                return reply.status == 200
        return server.get("/v1/models").status < _SERVER_ERROR

    def _lists_model(self, server: ServerClient) -> bool:
        try:
            listed = json.loads(server.get("/v1/models").text)["data"]
            return any(entry["id"] == self._options.model for entry in listed)
        except (ValueError, KeyError, TypeError):
            return False

    def planned_version(self) -> str | None:
        """The hash of the tokenizer's file: with another one, prompts differ."""
        folder = self._options.tokenizer
        return None if folder is None else f"tokenizer {file_hash(folder)[:16]}"

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in the folder that the options name."""
        folder = self._options.tokenizer
        return None if folder is None else folder_tokenizer(folder)

    def version(self, server: ServerClient) -> str | None:
        """The version on the server's version page."""
        if self._known.version is None:
            return None
        reply = server.get(self._known.version)
        if reply.status != 200:
            return None
        try:
            page = json.loads(reply.text)
        except ValueError:
            return None
        if isinstance(page, dict) and isinstance(page.get("info"), dict):
            page = page["info"]  # An OpenAPI description.
        if not isinstance(page, dict):
            return None
        found = next((page[key] for key in _VERSION_KEYS if key in page), None)
        return f"{self._options.server} {found}" if found is not None else None

    def reset_cache(self, server: ServerClient) -> bool | None:
        """Empty the prefix cache, if the server has a page for that."""
        if self._known.reset_cache is None:
            return None
        return server.post(self._known.reset_cache).status == 200

    def quiescent(self, server: ServerClient) -> bool | None:
        """No running or waiting requests, by the server's counters."""
        if self._known.metrics is None:
            return None
        counters = self.counters([parse_metrics(server.get(self._known.metrics).text)])
        if counters.running is None:
            return None
        return counters.running == 0 and not counters.waiting

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """The server's metrics, by the names of its kind, added up over its data-parallel ranks."""
        counters = read_counters(self._known.counters, merge_pages(pages))
        cached = counters.cached_prompt_tokens
        if self._options.server in COUNT_COMPUTED_ONLY and counters.prompt_tokens is not None:
            return attrs.evolve(counters, prompt_tokens=counters.prompt_tokens + (cached or 0.0))
        return counters


def base_url(text: str) -> str:
    """A server's address without trailing slash and ``/v1``.

    Raises:
        UsageError: not an http address, or it contains a user, a password or a query.
    """
    parts = urlsplit(text)
    # Checked first, because the other message would show the password.
    if "@" in text:
        raise UsageError(
            "engine openai: base_url must not contain a user or password",
            hint="put the key into a variable and name it with api_key_env=NAME",
        )
    if parts.query or parts.fragment:
        # Its value may be a key.
        raise UsageError(
            "engine openai: base_url: expected an address without ? or #",
            hint="use the option query for the query",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"engine openai: base_url: expected http://HOST:PORT, got {text!r}",
            hint="for example openai:base_url=http://127.0.0.1:8000,model=NAME",
        )
    return text.rstrip("/").removesuffix("/v1")


def _given(option: bool | None, otherwise: bool) -> bool:
    return otherwise if option is None else option
