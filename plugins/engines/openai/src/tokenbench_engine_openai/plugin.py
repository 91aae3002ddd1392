"""Registers the engine `openai`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import (
    Engine,
    EngineCapabilities,
    EngineContext,
    EngineSpec,
    hookimpl,
    http_url,
    option,
    options,
    variable_name,
)


@options
class OpenAIOptions:
    """Options of the engine."""

    base_url: str = option(
        check=http_url,
        identity=False,
        help="address of the server, as http://HOST:PORT; a key belongs into api_key_env",
    )
    model: str = option(help="the model's name on the server")
    server: str = option(
        default="generic",
        help="kind of server, which selects protocol fields and metrics: generic, vllm, sglang, "
        "llamacpp, dynamo",
    )
    tokenizer: str | None = option(
        default=None,
        identity=False,
        help="folder with the model's tokenizer.json, for prompts of exact length; its hash is "
        "part of a point's identity",
    )
    codec: str | None = option(
        default=None,
        choices=("chat", "completions"),
        help="codec to use; default: depends on the kind of server",
    )
    api_key_env: str | None = option(
        default=None,
        check=variable_name,
        identity=False,
        help="NAME of the environment variable that holds the key",
    )
    start_timeout_s: float = option(
        default=30.0, minimum=1, unit="s", identity=False, help="how long to wait for an answer"
    )


def _make(options: OpenAIOptions, context: EngineContext) -> Engine:
    from .engine import OpenAIServer

    return OpenAIServer(options)


@hookimpl
def bench_register_engines() -> Sequence[EngineSpec]:
    """The engine."""
    return [
        EngineSpec(
            name="openai",
            summary="a running server with the OpenAI protocol",
            options=OpenAIOptions,
            factory=_make,
            capabilities=EngineCapabilities(
                starts_server=False,
                counters=True,
                reset_cache=True,
                axes=("tp", "pp", "ep", "dp_attention", "dcp", "pcp"),
            ),
        )
    ]
