"""Options of the engine `openai`."""

from __future__ import annotations

from typing import Any

from tokenbench.api import FrozenMap, http_url, option, options, variable_name

_PROBED = "default: what this kind of server accepts, checked by the probe"


@options
class OpenAIOptions:
    """Options of the engine."""

    base_url: str = option(
        check=http_url,
        identity=False,
        help="address of the server, as http://HOST:PORT; put a key into api_key_env",
    )
    model: str = option(help="the model's name on the server")
    server: str = option(
        default="generic",
        help="kind of server, which selects protocol fields and metrics: generic, vllm, sglang, "
        "trtllm, llamacpp, dynamo, transformers",
    )
    tokenizer: str | None = option(
        default=None,
        identity=False,
        help="folder with the model's tokenizer.json, for prompts of exact length; its hash is "
        "part of a point's identity",
    )
    codec: str | None = option(
        default=None,
        choices=("chat", "completions", "embeddings"),
        help="codec to use; default: chat or completions, by the kind of server",
    )
    api_root: str = option(
        default="/v1", identity=False, help="path of the API on the server; / for none"
    )
    query: str = option(
        default="",
        identity=False,
        help="query string of every API request, such as api-version=2024-10-21",
    )
    max_tokens_field: str | None = option(
        default=None,
        identity=False,
        choices=("max_tokens", "max_completion_tokens"),
        help="field that limits the output; default: max_tokens, or what the probe finds",
    )
    stream_options: bool | None = option(
        default=None,
        identity=False,
        help="request usage in the stream; false: use what the server sends unasked; default: "
        "true, unless the server refuses it",
    )
    ignore_eos: bool | None = option(default=None, help=f"send ignore_eos; {_PROBED}")
    min_tokens: bool | None = option(default=None, help=f"send min_tokens; {_PROBED}")
    token_ids: bool | None = option(default=None, help=f"send prompts as token ids; {_PROBED}")
    extra_body: FrozenMap[Any] = option(
        default=FrozenMap(),
        help="fields of every request, as a JSON object such as "
        '{"chat_template_kwargs": {"enable_thinking": false}}',
    )
    api_key_env: str | None = option(
        default=None,
        check=variable_name,
        identity=False,
        help="NAME of the environment variable that holds the key",
    )
    keyring: str | None = option(
        default=None, identity=False, help="SERVICE/USER of the API key in the system's keyring"
    )
    headers: FrozenMap[str] = option(
        default=FrozenMap(), identity=False, help="headers of every request; not for secrets"
    )
    affinity_header: str | None = option(
        default=None,
        help="header with the session's id, such as x-session-id, by which a router keeps a "
        "session on one replica; default: that of the kind of server",
    )
    headers_env: FrozenMap[str] = option(
        default=FrozenMap(),
        identity=False,
        help="headers with secret values: the NAMES of their environment variables, such as "
        '{"api-key": "AZURE_KEY"}',
    )
    organization: str | None = option(
        default=None, identity=False, help="sent as OpenAI-Organization"
    )
    project: str | None = option(default=None, identity=False, help="sent as OpenAI-Project")
    ca_file: str | None = option(
        default=None, identity=False, help="file with the certificates to trust, in PEM format"
    )
    verify: bool = option(
        default=True, identity=False, help="false: accept any certificate; the result records it"
    )
    proxy: bool = option(
        default=True,
        identity=False,
        help="use the proxy of HTTPS_PROXY, HTTP_PROXY and NO_PROXY; false: connect directly",
    )
    probe: bool = option(
        default=True,
        identity=False,
        help="find out with a few one-token requests what the server accepts",
    )
    start_timeout_s: float = option(
        default=30.0, minimum=1, unit="s", identity=False, help="how long to wait for an answer"
    )
