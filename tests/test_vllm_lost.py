"""A real vLLM that is killed or halted at each phase, and starts that fail (``make test-vllm``).

A server of vLLM is three processes and more: losing one that `bench` did not start must end the run
with the cause, too.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from lost_server import MOMENTS, lose
from processes import marked

if TYPE_CHECKING:
    from tests_bench import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
_LIMIT_S = 600.0
_MODULE = "vllm.entrypoints.cli.main"


@pytest.fixture(scope="module")
def vllm() -> Path:
    """The interpreter of a real vLLM."""
    folder = os.environ.get("VLLM_VENV")
    if not folder:
        pytest.skip("VLLM_VENV names no environment with vLLM: make real-vllm, make test-vllm")
    return Path(folder).absolute() / "bin" / "python"


def _suite(vllm: Path, model: str = "smollm2-135m", **deployment: Any) -> dict[str, Any]:
    path = Path(model) if "/" in model else vllm.parent.parent / "models" / model
    return {
        "version": 1,
        "deployments": [
            {
                "engine": {"vllm": {"python": str(vllm), "enforce_eager": True}},
                "model": {"hf": {"path": str(path)}},
                "environment": {"TORCHDYNAMO_DISABLE": "1"},
                **deployment,
            }
        ],
        "workloads": [{"random": {"input_tokens": 64, "output_tokens": 64}}],
        "load": {"concurrency": [2], "requests": 2000, "repeats": 1},
    }


def _server(bench: Bench) -> int | None:
    """The API server, not its supervisor."""
    return next(
        (pid for pid, words in marked(bench.mark).items() if words[1:3] == ["-m", _MODULE]), None
    )


def _engine_core(bench: Bench) -> int | None:
    """The process of the API server that runs the model. It renames itself, which takes the mark
    out of its environment.
    """
    server = _server(bench)
    if server is None:
        return None
    for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().startswith("VLLM::EngineCor"):
            return int(child)
    return None


@MOMENTS
def test_a_server_is_lost(
    bench: Bench, vllm: Path, moment: str, number: signal.Signals, says: str
) -> None:
    """At each phase: the error says which process it was and what happened to it."""
    lose(
        bench,
        _suite(vllm),
        find=lambda: _server(bench),
        moment=moment,
        loads="Starting to load model",
        number=number,
        says=says,
    )


@pytest.mark.parametrize("moment", ["loading", "serving"])
def test_its_engine_process_is_lost(bench: Bench, vllm: Path, moment: str) -> None:
    """The API server outlives it for a moment: the cause is still the engine process."""
    lose(
        bench,
        _suite(vllm),
        find=lambda: _engine_core(bench),
        moment=moment,
        loads="Starting to load model",
        number=signal.SIGKILL,
        says="the engine process of vLLM was killed",
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"flags": {"--no-such-flag": 1}}, "does not know the arguments --no-such-flag"),
        ({"model": "no-such-model"}, "no-such-model"),
        ({"flags": {"--max-model-len": 1 << 20}}, "a context of 1048576 tokens is asked for"),
    ],
    ids=["bad-flag", "no-model", "too-long"],
)
def test_a_start_that_fails(bench: Bench, vllm: Path, change: dict[str, Any], cause: str) -> None:
    """The cause is shown in two lines, and nothing is left."""
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(_suite(vllm, **change)))
    done = bench("run", "suite.yaml", timeout_s=_LIMIT_S)
    assert done.code in (2, 5), done.err
    error, _ = done.complaint
    assert cause in error, done.err
    assert bench.all_gone(30), bench.left_running()
