"""What the log of ``transformers serve`` says, by logs of real starts: see captured/README.md."""

from __future__ import annotations

import pytest
from transformers_cases import HERE

from tokenbench.api import LogMessages

_MESSAGES = LogMessages("tokenbench_engine_transformers")

CAPTURED = HERE / "captured"
# File: the cause, and a part of the hint.
CAUSES = {
    "bad-flag": ("this version of transformers does not know the argument --nonsense", "--help"),
    "bad-value": (
        (
            "transformers refuses its arguments: Invalid value for '--port': 'eighty' is not a "
            "valid integer."
        ),
        "change the value",
    ),
    "bad-reasoning": (
        (
            "transformers refuses its arguments: Invalid value for '--reasoning': 'maybe' is not "
            "one of 'on', 'off', 'auto'."
        ),
        "change the value",
    ),
    "bad-dtype": ("transformers knows no dtype 'float33'", "torch dtype"),
    "bad-quantization": ("transformers knows no quantization method 'fp8'", "'bnb-4bit'"),
    "bad-attention": ("transformers knows no attention implementation 'fast'", "'sdpa'"),
    "bad-log-level": ("transformers knows no log level 'loud'", "warning"),
    "no-device": (
        "torch cannot use the device: Torch not compiled with CUDA enabled",
        "device=cpu",
    ),
    "no-folder": ("the model's folder /nope does not exist", "check the path"),
    "empty-folder": (
        (
            "/models/empty holds no model that transformers recognizes: its config.json is "
            "missing or names no model type"
        ),
        "download complete",
    ),
    "hub-offline": (
        (
            "the model nobody/nothing is not in the Hugging Face cache, and the hub cannot be "
            "reached"
        ),
        "HF_HUB_OFFLINE",
    ),
    "no-weights": ("there are no weights in /models/no-weights", "download complete"),
    "damaged": (
        (
            "a file of the weights of /models/damaged is damaged: Error while deserializing "
            "header: incomplete metadata, file not fully covered"
        ),
        "download it again",
    ),
    "unknown-type": (
        "the model type 'qwen99' is unknown to this version of transformers",
        "newer version",
    ),
    "wrong-shape": (
        "the weights of /models/wrong-shape do not fit its config.json: sizes differ",
        "same model",
    ),
    "own-code": (
        "the model /models/own-code contains custom code",
        "trust_remote_code=true",
    ),
    "no-bitsandbytes": (
        "--quantization needs the package bitsandbytes, which is not installed",
        "install it",
    ),
    "no-flash": (
        (
            "the attention implementation cannot be used: the package for FlashAttention2 doesn't "
            "seem to be installed."
        ),
        "attention=sdpa",
    ),
    "port-taken": ("the port 18742 is already in use", "ss -ltnp"),
    "wrong-python": (
        "transformers is not installed for the interpreter /usr/bin/python3",
        "transformers:python=PATH",
    ),
    "address-space": (
        "the host is out of memory, or a memory limit is reached (`ulimit -v`, or the container's)",
        "raise the limit",
    ),
}


def _log(name: str) -> str:
    return (CAPTURED / f"{name}.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_of_a_real_failure(name: str) -> None:
    """One sentence, and what to do."""
    found = _MESSAGES.diagnose(_log(name))
    assert found is not None and found.hint is not None
    cause, hint = CAUSES[name]
    assert found.cause == cause
    assert hint in found.hint


def test_every_log_is_checked() -> None:
    """A new log gets a cause, or this test fails."""
    assert {file.stem for file in CAPTURED.glob("*.log")} == {*CAUSES, "started"}


def test_a_sound_start_has_no_cause() -> None:
    """Nor a log without a message that is known."""
    assert _MESSAGES.diagnose(_log("started")) is None
    assert _MESSAGES.diagnose("") is None


def test_an_unknown_failure_is_named() -> None:
    """The last exception: earlier ones may have been handled."""
    found = _MESSAGES.diagnose("KeyError: 'a'\nDuring handling ...\nsome.NewError: no such thing\n")
    assert found is not None
    assert found.cause == "transformers failed with NewError: no such thing"


def test_what_a_start_does() -> None:
    """By the latest message: the progress of weights overwrites its line."""
    lines = _log("started").splitlines()
    seen: list[str | None] = []
    for end in range(len(lines)):
        now = _MESSAGES.phase("\n".join(lines[:end]))
        if now not in seen:
            seen.append(now)
    assert seen[:2] == [None, "reading the model's configuration"]
    assert "loading weights 55 %" in seen and "loading weights 100 %" in seen
    assert seen[-1] == "starting the HTTP server"
