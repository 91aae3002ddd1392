"""Whole runs against a server whose tokenizer is unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counting_server import START_TOKENS, TEMPLATE_TOKENS, CountingServer, at_random, by_pieces

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start_bench(tmp_path: Path) -> Bench:
    """`bench run` in an empty folder, with a short load."""

    def run(url: str, *more: str, engine: str = "") -> subprocess.CompletedProcess[str]:
        code = "from tokenbench.cli.main import main; main()"
        argv = (
            *("run", "--engine", f"openai:base_url={url},model=m{engine}", "--concurrency", "1"),
            *("--workload", "random:input_tokens=256,output_tokens=4", "--allow-invalid"),
            *("--requests", "5", "--repeats", "1", *more),
        )
        return subprocess.run(
            [sys.executable, "-c", code, *argv],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def _result(folder: Path) -> dict[str, Any]:
    (found,) = folder.glob("runs/*/results.jsonl")
    result: dict[str, Any] = json.loads(found.read_text())
    return result


def test_a_run_sends_prompts_of_the_asked_length(start_bench, tmp_path) -> None:
    """The prompts measured are those that were fitted: the server counts what was asked."""
    with CountingServer(by_pieces) as server:
        done = start_bench(server.url)
        assert done.returncode == 0, done.stderr
        measured = [by_pieces(text) for text in server.requests[-5:]]
    assert measured == [256] * 5
    lengths = next(c for c in _result(tmp_path)["checks"] if c["name"] == "lengths")
    assert lengths["outcome"] == "ok", lengths
    total = _result(tmp_path)["metrics"]["input_tokens"]["mean"]
    assert total == 5 * (256 + START_TOKENS + TEMPLATE_TOKENS)
    (provenance,) = tmp_path.glob("runs/*/provenance.json")
    (how,) = (v for k, v in json.loads(provenance.read_text()).items() if ".prompts." in k)
    assert "measured by probes, overhead 18 tokens, largest error 0.00%" in how


def test_a_run_without_known_lengths_is_refused(start_bench, tmp_path) -> None:
    """Before anything is measured, with a hint."""
    with CountingServer(at_random) as server:
        done = start_bench(server.url)
    assert done.returncode == 2
    assert "could not fit prompts to the server's token counts" in done.stderr
    assert "openai:tokenizer=DIR" in done.stderr
    assert "--lengths approximate" in done.stderr
    assert not list(tmp_path.glob("runs/*/points/*"))


def test_approximate_lengths_are_measured_and_flagged(start_bench, tmp_path) -> None:
    """Who asks for them gets a result, never a certified one."""
    with CountingServer(at_random) as server:
        done = start_bench(server.url, "--lengths", "approximate")
    assert done.returncode == 0, done.stderr
    result = _result(tmp_path)
    assert result["measurement"] != "certified"
    lengths = next(c for c in result["checks"] if c["name"] == "lengths")
    assert lengths["outcome"] == "flagged" and "approximate" in lengths["evidence"], lengths


def test_a_run_uses_the_tokenizer_that_the_engine_names(start_bench, tmp_path) -> None:
    """No probes; with a server that takes token ids, prompts are token ids."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models

    words = {f"w{index}": index for index in range(50)}
    Fast(models.WordLevel(vocab=words, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    with CountingServer(len) as server:
        done = start_bench(server.url, engine=f",server=vllm,tokenizer={tmp_path}")
        assert done.returncode == 0, done.stderr
        ids = [prompt for prompt in server.requests if isinstance(prompt, list)]
        prompts = ids[1:]  # The first one finds out whether the server takes token ids.
    assert len(prompts) >= 5
    assert {len(prompt) for prompt in prompts} == {256}
    assert {token for prompt in prompts for token in prompt} <= set(range(50))
