"""What a running server says: counters, version, facts; what its log says. The pages and lines are
written by the format of TensorRT-LLM's source: no real server was at hand.
"""

from __future__ import annotations

import pytest
from tokenbench_engine_trtllm.counters import counters
from trtllm_cases import engine

from tokenbench.api import Endpoint, FrozenMap, LogMessages, Reply, parse_metrics

_MESSAGES = LogMessages("tokenbench_engine_trtllm")

# Names, labels and kinds: metrics/collector.py@050f80d; numbers are made up.
PAGE = """\
# TYPE trtllm_request_success_total counter
trtllm_request_success_total{model_name="m",engine_type="e",finished_reason="length"} 5.0
trtllm_request_success_total{model_name="m",engine_type="e",finished_reason="stop"} 2.0
trtllm_request_success_total{model_name="m",engine_type="e",finished_reason="cancelled"} 1.0
trtllm_prompt_tokens_total{model_name="m",engine_type="e"} 700.0
trtllm_generation_tokens_total{model_name="m",engine_type="e"} 90.0
trtllm_prompt_cached_tokens_total{model_name="m",engine_type="e"} 128.0
trtllm_spec_decode_drafted_tokens_total{model_name="m",engine_type="e",token_position="0"} 40.0
trtllm_spec_decode_drafted_tokens_total{model_name="m",engine_type="e",token_position="1"} 40.0
trtllm_spec_decode_accepted_tokens_total{model_name="m",engine_type="e",token_position="0"} 30.0
trtllm_spec_decode_num_draft_tokens_total{model_name="m",engine_type="e"} 6.0
trtllm_num_requests_running{model_name="m",engine_type="e",pid="7"} 3.0
trtllm_kv_cache_utilization{model_name="m",engine_type="e",pid="7"} 0.25
trtllm_kv_cache_max_blocks{model_name="m",engine_type="e",pid="7"} 1000.0
trtllm_kv_cache_tokens_per_block{model_name="m",engine_type="e",pid="7"} 32.0
trtllm_request_queue_time_seconds_bucket{model_name="m",engine_type="e",le="0.3"} 7.0
trtllm_request_queue_time_seconds_bucket{model_name="m",engine_type="e",le="+Inf"} 7.0
trtllm_request_queue_time_seconds_sum{model_name="m",engine_type="e"} 0.7
trtllm_request_queue_time_seconds_count{model_name="m",engine_type="e"} 7.0
trtllm_kv_cache_config_info{model_name="m",engine_type="e",pid="7",dtype="fp8"} 1.0
"""


def test_counters_of_a_page() -> None:
    """Requests that were cancelled are not answered; drafts are those of requests, as counters of
    iterations miss most of them; running requests are of some iteration in the past.
    """
    found = counters(parse_metrics(PAGE))
    assert (found.prompt_tokens, found.generated_tokens, found.cached_prompt_tokens) == (
        *(700.0, 90.0, 128.0),
    )
    assert found.requests == 7.0
    assert found.finished == {"length": 5.0, "stop": 2.0, "cancelled": 1.0}
    assert (found.drafts, found.draft_tokens, found.accepted_draft_tokens) == (40.0, 80.0, 30.0)
    assert found.accepted_by_position == (30.0, 0.0)
    assert (found.kv_usage, found.kv_capacity_tokens) == (0.25, 32000.0)
    assert found.queue_time_s is not None and found.queue_time_s.count == 7.0
    assert found.running is None and found.waiting is None and found.preemptions is None


def test_prompts_are_prefills_and_answers_are_decodes() -> None:
    """Both count every prompt, and prefill generates one token of each answer."""
    line = (
        "trtllm_prompt_tokens_total 700.0\ntrtllm_generation_tokens_total {}\n"
        "trtllm_prompt_cached_tokens_total {}\n"
    )
    pages = [
        parse_metrics(line.format(7.0, 64.0), role="prefill"),
        parse_metrics(line.format(90.0, 0.0), role="decode"),
    ]
    found = engine().counters(pages)
    assert (found.prompt_tokens, found.generated_tokens) == (700.0, 90.0)
    assert found.cached_prompt_tokens == 64.0


def test_without_drafts_none_are_counted() -> None:
    """Not measured, rather than zero."""
    found = counters(parse_metrics("trtllm_prompt_tokens_total 1.0\n"))
    assert found.drafts is None and found.accepted_by_position is None and found.finished is None


class _Recorded:
    def __init__(self, *roles: str, **pages: str) -> None:
        self.endpoints = tuple(Endpoint(role=role, index=0, url="http://h:1") for role in roles)
        self._pages = pages

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        text = self._pages.get(path.rpartition("/")[2])
        served = text is not None and (path != "/prometheus/metrics" or endpoint > 0)
        return Reply(status=200, text=text or "") if served else Reply(status=404, text="")

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        return Reply(status=404, text="")


def test_version_and_facts() -> None:
    """The router has the version; the first server's page has the configuration."""
    server = _Recorded("router", "prefill", "decode", version='{"version": "1.3.0"}', metrics=PAGE)
    assert engine().version(server) == "trtllm 1.3.0"
    assert engine().facts(server) == FrozenMap({"kv_cache.dtype": "fp8"})
    made = engine(speculation="mtp", speculative_tokens=3, synthetic_acceptance_length=2.4)
    assert made.version(server) == "trtllm 1.3.0 (synthetic acceptance 2.4)"
    assert engine().version(_Recorded("server")) is None


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("python: No module named 'tensorrt_llm'", "not installed"),
        ("bash: mpirun: command not found", "mpirun is not on PATH"),
        ("Usage: x\n\nError: No such option: --served_model_name Did you", "--served_model_name"),
        ("Error: Invalid value for '--tool_parser': 'x' is not one of 'auto'", "--tool_parser"),
        (
            (
                "pydantic_core.ValidationError: 1 validation error for TorchLlmArgs\n"
                "kv_cache_config.nope\n  Extra inputs are not permitted [type=extra_forbidden]"
            ),
            "key kv_cache_config.nope",
        ),
        (
            (
                "1 validation error for TorchLlmArgs\nspeculative_config.MTP\n"
                "  Value error, max_draft_len must be > 0 for MTP [type=value_error]"
            ),
            "speculative_config.MTP of its options file (TorchLlmArgs): Value error, max_draft_len",
        ),
        (
            "RuntimeError: Failed to bind socket to 10.0.0.1:8000: [Errno 98] Address in use",
            "cannot listen on 10.0.0.1:8000",
        ),
        ("ValueError: No GPU devices found on the node", "sees no GPU"),
        ("RuntimeError: Only 8 GPUs are available, but 16 are required.", "needs 16 GPUs"),
        (
            "There are not enough slots available in the system to satisfy the 8\nslots",
            "fewer slots than the 8",
        ),
        ("AssertionError: Impossible to fit in any sequence in kvCache", "no room for one"),
        (
            (
                "CUDA out of memory. Tried to allocate 40.00 MiB. GPU 0 has a total capacity of "
                "22.07 GiB of which"
            ),
            "GPU 0 (22.07 GiB) is out of memory: could not allocate 40.00 MiB",
        ),
    ],
)
def test_failures(log: str, cause: str) -> None:
    """The message's own words lead to the cause."""
    found = _MESSAGES.diagnose(f"loading\n{log}\nsome more lines\n")
    assert found is not None and cause in found.cause, found
    assert found.hint


def test_phases() -> None:
    """The newest message counts."""
    log = "Prefetching 600.12GB checkpoint files.\n"
    assert _MESSAGES.phase(log) == "reading 600.12GB of weights"
    log += "Loading safetensors weights in parallel:  45%|####      | 1/2\n"
    assert _MESSAGES.phase(log) == "reading weights 45 %"
    log += "[TRT-LLM] [I] [Autotuner] Autotuning process starts ...\n"
    assert _MESSAGES.phase(log) == "tuning kernels"
    log += "Run generation-only CUDA graph warmup for batch size=64, draft_len=3\n"
    assert _MESSAGES.phase(log) == "capturing CUDA graphs, batch size 64"
    assert _MESSAGES.phase("INFO: Started server process") is None
