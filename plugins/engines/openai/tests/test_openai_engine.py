"""The engine for running servers."""

from __future__ import annotations

import attrs
import pytest
from tokenbench_engine_openai.engine import base_url
from tokenbench_engine_openai.options import OpenAIOptions
from tokenbench_engine_openai.plugin import bench_register_engines
from tokenbench_engine_openai.servers import SERVERS

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Architecture,
    Counters,
    EngineRequest,
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
# The format of vLLM's page (labels, several engines), with fictional values.
VLLM = """# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a{b}\\"c"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="a"} 20.0
vllm:generation_tokens_total{engine="0",model_name="a"} 7.0 1700000000
vllm:num_requests_running{engine="0",model_name="a"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} NaN
"""


class StubServer:
    """A server with fixed replies."""

    endpoints = ()

    def __init__(self, **replies: Reply) -> None:
        self._replies = replies

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """The reply of that name, or 404."""
        return self._replies.get(path.strip("/").replace("/", "_"), Reply(status=404, text=""))

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The same."""
        return self.get(path)


def _engine(**options: object):  # noqa: ANN202
    (spec,) = bench_register_engines()
    options = {"base_url": "http://127.0.0.1:8000/v1/", "model": "m", **options}
    return spec.factory(OpenAIOptions(**options), PluginContext())


def test_the_plan_has_only_an_endpoint() -> None:
    """No process; `/v1` is removed; the model's name is the server's."""
    plan = _engine(api_key_env="KEY").plan(REQUEST)
    assert plan.processes == ()
    assert plan.endpoints[0].url == "http://127.0.0.1:8000"
    assert (plan.served_name, plan.api_key_env) == ("m", "KEY")


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:8000", "http://user:pw@host", "ftp://user:pw@host", "user:pw@h"]
)
def test_invalid_addresses_are_rejected(url: str) -> None:
    """The message never shows a password."""
    with pytest.raises(UsageError) as caught:
        base_url(url)
    assert "pw" not in caught.value.message


def test_the_dialect_depends_on_the_kind_of_server() -> None:
    """A generic server gets plain requests; vLLM gets exact lengths by token ids."""
    plain, vllm = _engine().dialect(REQUEST), _engine(server="vllm").dialect(REQUEST)
    assert plain.codecs[0] == CHAT
    assert not (plain.token_id_prompts or plain.ignore_eos)
    assert vllm.codecs[0] == COMPLETIONS
    assert vllm.token_id_prompts and vllm.ignore_eos and vllm.continuous_usage
    assert _engine(server="vllm", codec="chat").dialect(REQUEST).codecs == (CHAT,)
    with pytest.raises(UsageError, match="unknown server 'vlm'"):
        _engine(server="vlm")


@pytest.mark.parametrize("name", SERVERS)
def test_every_known_server_has_a_source_and_known_counters(name: str) -> None:
    """Facts have source and date; counters are fields of Counters."""
    known = SERVERS[name]
    assert known.source and known.date
    assert set(known.counters) <= {field.name for field in attrs.fields(Counters)}


def test_counters_are_summed_over_labels() -> None:
    """Several engines behind one page; NaN is ignored."""
    counters = _engine(server="vllm").counters([parse_metrics(VLLM)])
    assert counters.prompt_tokens == 120
    assert counters.generated_tokens == 7
    assert counters.waiting is None
    cached = "llamacpp:prompt_tokens_total 5\nllamacpp:prompt_tokens_cached_total 3\n"
    assert _engine(server="llamacpp").counters([parse_metrics(cached)]).prompt_tokens == 8


def test_ready_version_and_quiescence() -> None:
    """From the pages of each kind of server."""
    up = StubServer(
        health=Reply(status=200, text=""), version=Reply(status=200, text='{"version":"1"}')
    )
    down = StubServer(health=Reply(status=503, text=""))
    vllm = _engine(server="vllm")
    assert vllm.ready(up)
    assert not vllm.ready(down)
    assert vllm.ready(StubServer())
    assert vllm.version(up) == "vllm 1"
    assert _engine().version(up) is None
    assert vllm.quiescent(StubServer(metrics=Reply(status=200, text=VLLM))) is False
    assert _engine().quiescent(up) is None
    assert _engine().reset_cache(up) is None
