"""Options about the way to the server and about the fields of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenbench_engine_openai.options import OpenAIOptions
from tokenbench_engine_openai.plugin import bench_register_engines
from tokenbench_engine_openai.servers import SERVERS

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Architecture,
    Engine,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    Layout,
    PluginContext,
    Reply,
    ServingNeeds,
    UsageError,
    parse_metrics,
)

REQUEST = EngineRequest(
    model="openai",
    served_name="default",
    weights=None,
    architecture=Architecture(),
    hardware=HardwareFacts(kind="cpu", sku="cpu"),
    layout=Layout(),
    needs=ServingNeeds(),
)
SECRET = "sk-in-the-wrong-place"


def _engine(**options: Any) -> Engine:
    (spec,) = bench_register_engines()
    given = OpenAIOptions(**{"base_url": "http://h:1", "model": "m", **options})
    made: Engine = spec.factory(given, PluginContext())
    return made


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, "/v1/completions"),
        ({"api_root": "/openai/v1/"}, "/openai/v1/completions"),
        ({"api_root": "/"}, "/completions"),
        ({"query": "?api-version=1"}, "/v1/completions?api-version=1"),
        ({"base_url": "http://h:1/v1", "api_root": "/x", "query": "a=b"}, "/x/completions?a=b"),
    ],
)
def test_paths_of_the_api(options: dict[str, Any], sent: str) -> None:
    """Other pages stay where they are; the address has no query."""
    plan = _engine(**options).plan(REQUEST)
    assert plan.access.path("/v1/completions") == sent
    assert plan.access.path("/health") == "/health"
    assert plan.access.path("/v1x") == "/v1x"
    assert plan.endpoints[0].url == "http://h:1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_root": "v1"}, "api_root: expected a path"),
        ({"query": f"key={SECRET}"}, "looks like a secret"),
        ({"query": f"api-version=1&key={SECRET}"}, "the value of key looks like a secret"),
        ({"query": "a b"}, "expected name=value"),
        ({"headers": FrozenMap({"Authorization": SECRET})}, "looks like a secret"),
        ({"headers": FrozenMap({"x-api-key": SECRET})}, "looks like a secret"),
        ({"headers": FrozenMap({"Cookie": SECRET})}, "looks like a secret"),
        ({"headers": FrozenMap({"a b": "c"})}, "cannot be set"),
        ({"headers": FrozenMap({"Content-Length": "1"})}, "cannot be set"),
        ({"headers": FrozenMap({"X-A": "1\r\nX-B: 2"})}, "not a valid value"),
        ({"organization": "a\nb"}, "not a valid value"),
        ({"headers_env": FrozenMap({"api-key": SECRET})}, "the NAME of an environment variable"),
        (
            {"headers": FrozenMap({"X-A": "1"}), "headers_env": FrozenMap({"x-a": "A"})},
            "in headers and in headers_env",
        ),
        ({"extra_body": FrozenMap({"max_tokens": 3})}, "set by the workload"),
        ({"ca_file": "/nowhere/ca.pem"}, "no file"),
        ({"ca_file": "x", "verify": False}, "no effect"),
        ({"keyring": "service"}, "expected SERVICE/USER"),
        ({"keyring": "a/b", "api_key_env": "K"}, "both given"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], told: str) -> None:
    """Found while planning; a secret in the wrong place is not repeated."""
    with pytest.raises(UsageError, match=told) as caught:
        _engine(**options)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_secrets_of_headers_are_no_part_of_a_plan() -> None:
    """Only the name of the variable, or of the keyring's entry."""
    plan = _engine(headers_env=FrozenMap({"api-key": "MY_KEY"}), keyring="llm/me").plan(REQUEST)
    assert plan.access.headers_env == FrozenMap({"api-key": "MY_KEY"})
    assert plan.api_key_env == "keyring:llm/me"


@pytest.mark.covers("Engine.negotiation")
def test_what_is_worth_trying() -> None:
    """Of an unknown server everything; of a known one its claims; what the options decide is not
    tried against them; what they ask for is firm.
    """
    claims, wanted = _engine().dialect(REQUEST), _engine().negotiation(REQUEST)
    assert wanted is not None and wanted.firm == frozenset()
    assert not (claims.ignore_eos or claims.min_tokens or claims.seed or claims.token_id_prompts)
    tries = wanted.tries
    assert tries.ignore_eos and tries.min_tokens and tries.seed and tries.token_id_prompts
    assert tries.codecs == claims.codecs == (CHAT, COMPLETIONS)
    vllm = _engine(server="vllm")
    known = vllm.negotiation(REQUEST)
    assert known is not None and known.tries == vllm.dialect(REQUEST)
    body = FrozenMap({"chat_template_kwargs": FrozenMap({"enable_thinking": False})})
    asked = _engine(ignore_eos=False, min_tokens=True, stream_options=False, extra_body=body)
    firm = asked.negotiation(REQUEST)
    assert firm is not None and firm.firm == {"min_tokens", "chat_template_kwargs"}
    assert not firm.tries.ignore_eos and firm.tries.min_tokens and not firm.tries.usage
    assert asked.dialect(REQUEST).min_tokens and asked.dialect(REQUEST).extra_body == body
    assert _engine(probe=False).negotiation(REQUEST) is None


def test_which_kinds_end_their_streams_with_done() -> None:
    """vLLM, SGLang, TensorRT-LLM, llama.cpp and Dynamo do; transformers does not."""
    found = {name: _engine(server=name).dialect(REQUEST).done_event for name in SERVERS}
    silent = {name for name, done in found.items() if not done}
    assert silent == {"generic", "transformers"}


class _Frontend:
    """Dynamo's frontend: healthy at once, with a list of models."""

    endpoints = ()

    def __init__(self, *models: str) -> None:
        listed = json.dumps({"data": [{"id": model} for model in models]})
        described = json.dumps({"openapi": "3.1.0", "info": {"version": "1.6.1"}})
        self._pages = {"/v1/models": listed, "/health": "{}", "/openapi.json": described}

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        return Reply(status=200, text=self._pages[path])

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        raise AssertionError


def test_dynamo_is_ready_once_a_worker_serves_the_model() -> None:
    """Its frontend is healthy before; the version is that of its description."""
    dynamo = _engine(server="dynamo")
    assert not dynamo.ready(_Frontend())
    assert not dynamo.ready(_Frontend("other"))
    assert dynamo.ready(_Frontend("other", "m"))
    assert dynamo.version(_Frontend()) == "dynamo 1.6.1"
    page = (
        "dynamo_frontend_input_sequence_tokens_sum 5\ndynamo_frontend_output_tokens_total 7\n"
        "dynamo_frontend_queued_requests 0\ndynamo_frontend_inflight_requests 2\n"
    )
    counters = dynamo.counters([parse_metrics(page)])
    assert (counters.prompt_tokens, counters.generated_tokens) == (5, 7)
    assert (counters.waiting, counters.running) == (0, 2)
