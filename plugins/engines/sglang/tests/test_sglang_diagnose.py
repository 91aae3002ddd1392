"""Causes and phases from the logs of real starts (captured/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sglang_cases import engine

_CAPTURED = Path(__file__).parent / "captured"
_CAUSES = {
    "bad-flag": "this version of SGLang does not know the arguments --no-such-flag 3",
    "bad-value": "SGLang refuses the value of --attention-backend: invalid choice: 'nonsense'",
    "no-folder": "the model's folder /nowhere/model does not exist",
    "empty-folder": "/models/empty holds no model",
    "hub-offline": "the model asked for is not in the Hugging Face cache",
    "beyond-context": "a context of 100000 tokens is requested, but the model has 8192",
    "port-taken": "the port 18210 is already in use",
    "wrong-python": "SGLang is not installed for the interpreter /opt/python/bin/python",
}
# Messages that no start on this CPU can show, as they stand in SGLang 0.5.23 (the file is named).
_READ = (
    # model_executor/model_runner.py
    (
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
        "the weights leave no memory for the KV cache",
    ),
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...",
        "the accelerator is out of memory: could not allocate 2.00 GiB",
    ),
    (
        "RuntimeError: HIP out of memory. Tried to allocate 512.00 MiB.",
        "the accelerator is out of memory: could not allocate 512.00 MiB",
    ),
    # model_loader/loader.py
    (
        "RuntimeError: Cannot find any model weights with `/models/m`",
        "there are no weights in /models/m",
    ),
    (
        "/usr/bin/python3: No module named sglang_router",
        "SGLang's router is not installed for the interpreter /usr/bin/python3",
    ),
    # utils/numa_utils.py; seen with --dp-size 2 on a host with one node
    (
        "SGLANG_CPU_OMP_THREADS_BIND is not set, in this case, the number (dp_size * ... = 2)",
        "on a CPU SGLang gives each of 2 ranks a NUMA node of its own, and the host has fewer",
    ),
    ("ValueError: Can not get local ip", "SGLang does not find the address of this host"),
    ("ValueError: something that no rule knows", "SGLang failed with ValueError: something"),
)


def _log(name: str) -> str:
    return (_CAPTURED / f"{name}.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(_CAUSES))
def test_causes(name: str) -> None:
    """The value or the file that is wrong, and what to do."""
    found = engine().diagnose(_log(name))
    assert found is not None and found.cause.startswith(_CAUSES[name]), found
    assert found.hint


@pytest.mark.parametrize(("line", "cause"), _READ)
def test_causes_read_from_the_source(line: str, cause: str) -> None:
    """Among other lines of a log."""
    found = engine().diagnose(f"[2026-12-01 00:00:00] Load weight begin.\n{line}\nbye\n")
    assert found is not None and found.cause.startswith(cause), found


def test_every_capture_is_tested() -> None:
    """A new log is a test, or this one fails."""
    assert {file.stem for file in _CAPTURED.glob("*.log")} == {*_CAUSES, "started"}


def test_a_start_has_no_cause() -> None:
    """Nor has a log without a message."""
    assert engine().diagnose(_log("started")) is None
    assert engine().diagnose("") is None


def test_phases() -> None:
    """In the order of a start; the latest message counts."""
    lines, seen = _log("started").splitlines(keepends=True), []
    for end in range(1, len(lines) + 1):
        words = engine().phase("".join(lines[:end]))
        if words is not None and words not in seen[-1:]:
            seen.append(words)
    assert seen == [
        "reading the model's configuration",
        "starting the ranks",
        "loading weights",
        "preparing the model",
        "making the KV cache",
        "starting the HTTP server",
        "warming up",
    ]
    assert engine().phase("") is None
