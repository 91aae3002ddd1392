"""The llama.cpp engine: its plan, its counters, its server's refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_engine_llamacpp import server
from tokenbench_engine_llamacpp.plugin import LlamaCppOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    EngineContext,
    EngineRequest,
    HardwareFacts,
    Layout,
    ServingNeeds,
    UsageError,
)

# Read from xllamacpp 2026.10.11549 on 2026-11-21, after two requests.
METRICS = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 38
llamacpp:prompt_tokens_cached_total 4
llamacpp:prompt_seconds_total 0.338837
llamacpp:tokens_predicted_total 8
llamacpp:spec_decode_num_draft_tokens_total 0
llamacpp:requests_processing 0
llamacpp:requests_deferred 2
"""


def _request(concurrency: int = 4, context: int | None = 600) -> EngineRequest:
    return EngineRequest(
        model="smollm2",
        served_name="smollm2",
        weights=None,
        architecture=Architecture(context_tokens=8192),
        hardware=HardwareFacts(kind="cpu", sku="cpu"),
        layout=Layout(),
        needs=ServingNeeds(context_tokens=context, concurrency=concurrency),
    )


def _engine(**options: object):  # noqa: ANN202
    (spec,) = bench_register_engines()
    return spec.factory(LlamaCppOptions(**options), EngineContext(engine=lambda _: None))


def test_the_context_is_that_of_all_slots_together() -> None:
    """llama.cpp divides --ctx-size among its slots, so it is multiplied here."""
    (process,) = _engine().plan(_request()).processes
    assert process.flags["--ctx-size"] == 2400
    assert process.flags["--parallel"] == 4
    assert process.flags["--cache-prompt"] is False
    (small,) = _engine(slots=2).plan(_request(context=None)).processes
    assert small.flags["--ctx-size"] == 2 * 512


def test_the_same_request_gives_the_same_plan() -> None:
    """Pure: no port, no path of this machine in it."""
    assert _engine().plan(_request()) == _engine().plan(_request())
    text = str(_engine().plan(_request()).processes[0].flags)
    assert str(Path(__file__).parent.parent) not in text


def test_a_context_that_the_model_does_not_have_is_refused() -> None:
    """Before a server is started."""
    with pytest.raises(UsageError, match="9000 tokens is needed, smollm2 has 8192"):
        _engine().plan(_request(context=9000))


def test_counters_in_our_vocabulary() -> None:
    """Cached prompt tokens count as prompt tokens; gauges are gauges."""
    counters = _engine().counters(METRICS)
    assert counters.prompt_tokens == 42
    assert counters.cached_prompt_tokens == 4
    assert counters.generated_tokens == 8
    assert (counters.running, counters.waiting) == (0, 2)
    assert _engine().counters("").prompt_tokens is None


def test_a_chat_template_travels_with_the_plan(tmp_path: Path) -> None:
    """Its content, not its path, is what identifies a plan."""
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }}")
    (process,) = _engine(chat_template_file=str(template)).plan(_request()).processes
    assert process.files[-1].content == "{{ messages }}"
    assert process.flags["--chat-template-file"] == "{file:chat-template.jinja}"
    with pytest.raises(UsageError, match="cannot read the chat template"):
        _engine(chat_template_file=str(tmp_path / "none")).plan(_request())


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [(None, 3, "cannot read the weights"), (b"garbage", 3, "is not a GGUF file")],
)
def test_the_server_refuses_bad_weights(
    tmp_path: Path, content: bytes | None, code: int, said: str
) -> None:
    """A clear word and an exit code, instead of a native abort."""
    file = tmp_path / "w.gguf"
    if content is not None:
        file.write_bytes(content)
    command = [
        sys.executable,
        server.__file__,
        "--model",
        str(file),
        "--port",
        "1",
        "--ctx-size=64",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert said in done.stderr
