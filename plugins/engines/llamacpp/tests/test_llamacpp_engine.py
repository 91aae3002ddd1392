"""The llama.cpp engine: plan, counters, and error messages of its server."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_engine_llamacpp import server
from tokenbench_engine_llamacpp.plugin import LlamaCppOptions, bench_register_engines

from tokenbench.api import (
    Architecture,
    Endpoint,
    EngineRequest,
    HardwareFacts,
    Layout,
    PluginContext,
    Reply,
    ServingNeeds,
    UsageError,
    parse_metrics,
)

# Captured from xllamacpp 2026.10.11549 on 2026-11-21, after two requests.
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


class _Props:
    """A server that reports its build, on this machine or on another host."""

    def __init__(self, *, here: bool) -> None:
        self.endpoints = (Endpoint(role="server", index=0, url="", here=here),)

    def get(self, path: str) -> Reply:
        """What `/props` reports."""
        assert path == "/props"
        return Reply(status=200, text='{"build_info": "b7000"}')


def test_the_package_of_this_machine_is_not_that_of_another_host() -> None:
    """There, only the build that the server reports is known."""
    installed = importlib.metadata.version("xllamacpp")
    assert _engine().version(_Props(here=True)) == f"xllamacpp {installed} (b7000)"
    assert _engine().version(_Props(here=False)) == "(b7000)"


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
    return spec.factory(LlamaCppOptions(**options), PluginContext())


def test_the_context_is_the_sum_over_all_slots() -> None:
    """llama.cpp divides --ctx-size among its slots."""
    (process,) = _engine().plan(_request()).processes
    assert process.flags["--ctx-size"] == 2400
    assert process.flags["--parallel"] == 4
    assert process.flags["--cache-prompt"] is False
    (small,) = _engine(slots=2).plan(_request(context=None)).processes
    assert small.flags["--ctx-size"] == 2 * 512


def test_plans_are_pure() -> None:
    """The same request gives the same plan, without a path of this machine but the interpreter."""
    assert _engine().plan(_request()) == _engine().plan(_request())
    (process,) = _engine().plan(_request()).processes
    plugin = str(Path(server.__file__).parent)
    assert plugin not in str((process.argv[1:], process.flags, process.environment))


def test_a_context_larger_than_the_model_s_is_rejected() -> None:
    """While planning."""
    with pytest.raises(UsageError, match="context of 9000 tokens, but smollm2 supports 8192"):
        _engine().plan(_request(context=9000))


def test_counters() -> None:
    """Prompt tokens include cached ones; missing counters are None."""
    counters = _engine().counters([parse_metrics(METRICS)])
    assert counters.prompt_tokens == 42
    assert counters.cached_prompt_tokens == 4
    assert counters.generated_tokens == 8
    assert (counters.running, counters.waiting) == (0, 2)
    assert _engine().counters([]).prompt_tokens is None


def test_a_chat_template_is_part_of_the_plan(tmp_path: Path) -> None:
    """Its content identifies the plan, not its path."""
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }}")
    (process,) = _engine(chat_template_file=str(template)).plan(_request()).processes
    assert process.files[-1].content == "{{ messages }}"
    assert process.flags["--chat-template-file"] == "{file:chat-template.jinja}"
    with pytest.raises(UsageError, match="cannot read the chat template"):
        _engine(chat_template_file=str(tmp_path / "none")).plan(_request())


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [(None, 3, "cannot read the weights"), (b"garbage", 3, "is not a GGUF file")],
)
def test_the_server_rejects_bad_weights(
    tmp_path: Path, content: bytes | None, code: int, message: str
) -> None:
    """An error message and an exit code, instead of a native abort."""
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
    assert message in done.stderr
