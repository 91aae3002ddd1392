"""The dialect says what the real server answered: see data/README.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers_cases import HERE, engine, request


def _answer(name: str) -> tuple[int, str]:
    head, _, body = (HERE / "data" / f"{name}.http").read_text(encoding="utf-8").partition("\n\n")
    return int(head.split()[1]), body


def _events(name: str) -> list[dict[str, Any]]:
    status, body = _answer(name)
    assert status == 200
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line]
    assert "[DONE]" not in lines
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("ignore-eos", 422, "Unexpected fields in the request: {'ignore_eos'}"),
        ("token-ids", 400, "prompt must be a string."),
        ("other-model", 400, "Server is pinned to '/models/tiny'; requested 'other'."),
        ("metrics", 404, "Not Found"),
        # Without a Hugging Face cache; readiness must not depend on it.
        ("models", 500, "Internal Server Error"),
        ("health", 200, "ok"),
    ],
)
def test_what_the_server_refuses(name: str, status: int, says: str) -> None:
    """Nothing of this is sent, or needed."""
    found, body = _answer(name)
    assert found == status and says in body
    dialect = engine().dialect(request())
    assert not (dialect.ignore_eos or dialect.token_id_prompts)
    assert engine().plan(request()).endpoints[0].metrics_path is None
    assert str(engine().plan(request()).processes[0].ready).endswith("/health")


@pytest.mark.parametrize(("name", "prompt"), [("completions-stream", 3), ("chat-stream", 34)])
def test_a_stream_ends_with_usage_and_without_done(name: str, prompt: int) -> None:
    """So a stream without [DONE] is whole, and lengths are judged by the server's own count."""
    *events, last = _events(name)
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["usage"] == {
        "completion_tokens": 4,
        "prompt_tokens": prompt,
        "total_tokens": prompt + 4,
    }
    assert len(events) >= 4 and not any("usage" in event for event in events)
    dialect = engine().dialect(request())
    assert dialect.usage and not dialect.done_event and not dialect.continuous_usage
