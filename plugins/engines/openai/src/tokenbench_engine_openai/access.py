"""Access to the server, from the engine's options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tokenbench.api import Access, FrozenMap, UsageError

if TYPE_CHECKING:
    from .options import OpenAIOptions

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"auth|cookie|secret|password|token|api[-_]?key|^key$|[-_]key$", re.IGNORECASE)
# Headers that the load client or the request itself sets.
_RESERVED = ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept")
# Fields of a request that the tool sets itself.
_OWN_FIELDS = {"model", "prompt", "messages", "stream", "stream_options", "ignore_eos"}
_OWN_FIELDS |= {"min_tokens", "max_tokens", "max_completion_tokens"}


def access(options: OpenAIOptions) -> Access:
    """How requests reach the server.

    Raises:
        UsageError: an option cannot be used.
    """
    return Access(
        api_root=_api_root(options.api_root),
        query=_query(options.query),
        headers=_headers(options),
        headers_env=_headers_env(options),
        ca_file=_ca_file(options),
        verify=options.verify,
        proxy=options.proxy,
    )


def api_key(options: OpenAIOptions) -> str | None:
    """The reference by which core finds the key."""
    if options.keyring is None:
        return options.api_key_env
    if options.api_key_env is not None:
        raise UsageError(
            "engine openai: api_key_env and keyring are both given", hint="give only one of them"
        )
    if "/" not in options.keyring:
        raise UsageError(
            f"engine openai: keyring: expected SERVICE/USER, got {options.keyring!r}",
            hint="as it was stored with: keyring set SERVICE USER",
        )
    return f"keyring:{options.keyring}"


def extra_body(options: OpenAIOptions) -> FrozenMap[object]:
    """The fields of every request that the user adds."""
    for name in options.extra_body:
        if name in _OWN_FIELDS:
            raise UsageError(
                f"engine openai: extra_body: {name} is set by the workload or by an option",
                hint="use the workload's options, or the engine's: ignore_eos, min_tokens, ...",
            )
    return options.extra_body


def _api_root(text: str) -> str:
    root = text.strip().rstrip("/")
    if (root and not root.startswith("/")) or "?" in root or not root.isprintable() or " " in root:
        raise UsageError(
            f"engine openai: api_root: expected a path such as /openai/v1, got {text!r}",
            hint="use the option query for the query",
        )
    return root


def _query(text: str) -> str:
    query = text.removeprefix("?")
    if not (query.isascii() and query.isprintable()) or " " in query or "#" in query:
        raise UsageError(
            f"engine openai: query: expected name=value&name=value, got {text!r}",
            hint="for example query=api-version=2024-10-21",
        )
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if _SECRET.search(name) or name.lower() in ("sig", "code"):
            raise UsageError(
                f"engine openai: query: the value of {name} looks like a secret",
                hint="send it as a header: headers_env, or api_key_env",
            )
    return query


def _headers(options: OpenAIOptions) -> FrozenMap[str]:
    for name in options.headers:
        _check_name("headers", name)
        if _SECRET.search(name):
            raise UsageError(
                f"engine openai: headers: the value of {name} looks like a secret",
                hint=f"put it into a variable and name that: headers_env={{{name}: VARIABLE}}",
            )
    own = {"OpenAI-Organization": options.organization, "OpenAI-Project": options.project}
    headers = {
        **options.headers,
        **{name: value for name, value in own.items() if value is not None},
    }
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise UsageError(
                f"engine openai: headers: {name}: not a valid value: {value!r}",
                hint="use printable ASCII characters",
            )
    return FrozenMap(headers)


def _headers_env(options: OpenAIOptions) -> FrozenMap[str]:
    given = {name.lower() for name in options.headers}
    for name, variable in options.headers_env.items():
        _check_name("headers_env", name)
        if name.lower() in given:
            raise UsageError(
                f"engine openai: the header {name} is in headers and in headers_env",
                hint="give it once",
            )
        if not _VARIABLE.fullmatch(variable):
            # Perhaps it is the secret itself.
            raise UsageError(
                f"engine openai: headers_env: {name}: expected the NAME of an environment variable",
                hint=f"export NAME=..., then headers_env={{{name}: NAME}}",
            )
    return options.headers_env


def _check_name(option: str, name: str) -> None:
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise UsageError(
            f"engine openai: {option}: {name!r} cannot be set",
            hint="use the name of a header that the client does not set itself",
        )


def _ca_file(options: OpenAIOptions) -> str | None:
    if options.ca_file is None:
        return None
    if not options.verify:
        raise UsageError(
            "engine openai: ca_file has no effect with verify=false", hint="remove one of them"
        )
    path = Path(options.ca_file).expanduser()
    if not path.is_file():
        raise UsageError(f"engine openai: ca_file: no file {path}", hint="check the path")
    return str(path)
