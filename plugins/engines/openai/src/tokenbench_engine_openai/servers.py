"""Protocol fields and metrics of known servers beyond the OpenAI API, as data."""

from __future__ import annotations

import attrs

from tokenbench.api import FrozenMap


@attrs.frozen(kw_only=True)
class KnownServer:
    """One kind of server. `counters` maps names of `Counters` to metrics (histograms without their
    suffix); `source` and `date` say where the facts come from. `done_event`: every complete stream
    ends with ``[DONE]``. `lists_models`: it is up before its workers, and lists a model as soon as
    a worker serves it. `affinity_header`: the header with which its router identifies a session.
    """

    source: str
    date: str
    token_id_prompts: bool = False
    ignore_eos: bool = False
    min_tokens: bool = False
    usage: bool = True
    continuous_usage: bool = False
    seed: bool = True
    done_event: bool = False
    lists_models: bool = False
    affinity_header: str | None = None
    health: str | None = "/health"
    metrics: str | None = "/metrics"
    version: str | None = None
    reset_cache: str | None = None
    extra_body: FrozenMap[str | int | float | bool | None] = FrozenMap()
    counters: FrozenMap[str] = FrozenMap()


SERVERS: dict[str, KnownServer] = {
    "generic": KnownServer(
        source="OpenAI API reference, chat completions",
        date="2026-11-21",
        seed=False,
        health=None,
        metrics=None,
    ),
    "vllm": KnownServer(
        source="vLLM 0.32 OpenAI-compatible server, run on CPU",
        date="2026-11-21",
        token_id_prompts=True,
        ignore_eos=True,
        min_tokens=True,
        continuous_usage=True,
        done_event=True,
        version="/version",
        # Only with VLLM_SERVER_DEV_MODE=1; otherwise 404, which counts as not supported.
        reset_cache="/reset_prefix_cache?reset_external=true",
        counters=FrozenMap(
            {
                "prompt_tokens": "vllm:prompt_tokens_total",
                "cached_prompt_tokens": "vllm:prefix_cache_hits_total",
                "generated_tokens": "vllm:generation_tokens_total",
                "running": "vllm:num_requests_running",
                "waiting": "vllm:num_requests_waiting",
                "finished": "vllm:request_success_total",
                "preemptions": "vllm:num_preemptions_total",
                "kv_usage": "vllm:kv_cache_usage_perc",
                "drafts": "vllm:spec_decode_num_drafts_total",
                "draft_tokens": "vllm:spec_decode_num_draft_tokens_total",
                "accepted_draft_tokens": "vllm:spec_decode_num_accepted_tokens_total",
                "accepted_by_position": "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                "queue_time_s": "vllm:request_queue_time_seconds",
                "prefill_time_s": "vllm:request_prefill_time_seconds",
                "decode_time_s": "vllm:request_decode_time_seconds",
            }
        ),
    ),
    "sglang": KnownServer(
        source="SGLang 0.5.23 server, run on CPU; continuous usage: its "
        "srt/entrypoints/openai/protocol.py at 004c82e",
        date="2026-11-22",
        token_id_prompts=True,
        ignore_eos=True,
        min_tokens=True,
        continuous_usage=True,
        done_event=True,
        version="/get_server_info",
        reset_cache="/flush_cache",
        counters=FrozenMap(
            {
                "prompt_tokens": "sglang:prompt_tokens_total",
                "cached_prompt_tokens": "sglang:cached_tokens_total",
                "generated_tokens": "sglang:generation_tokens_total",
                "requests": "sglang:num_requests_total",
                "running": "sglang:num_running_reqs",
                "waiting": "sglang:num_queue_reqs",
                "kv_usage": "sglang:token_usage",
                # Its srt/metrics/collector.py, read 2026-11, not run.
                "preemptions": "sglang:num_retracted_requests_total",
                "queue_time_s": "sglang:queue_time_seconds",
            }
        ),
    ),
    "trtllm": KnownServer(
        source="TensorRT-LLM serve/openai_protocol.py at 0076e93 and docs/source/commands/"
        "trtllm-serve.rst, not run",
        date="2026-11-22",
        token_id_prompts=True,
        ignore_eos=True,
        min_tokens=True,
        continuous_usage=True,
        done_event=True,
        version="/version",
        metrics=None,  # /metrics is a JSON list of iterations, empty unless switched on.
    ),
    "llamacpp": KnownServer(
        source="llama.cpp server, xllamacpp 2026.10.11549",
        date="2026-11-21",
        token_id_prompts=True,
        ignore_eos=True,
        done_event=True,
        version="/props",
        extra_body=FrozenMap({"cache_prompt": False}),
        counters=FrozenMap(
            {
                # Computed tokens; the engine adds cached ones.
                "prompt_tokens": "llamacpp:prompt_tokens_total",
                "cached_prompt_tokens": "llamacpp:prompt_tokens_cached_total",
                "generated_tokens": "llamacpp:tokens_predicted_total",
                "running": "llamacpp:requests_processing",
                "waiting": "llamacpp:requests_deferred",
            }
        ),
    ),
    "dynamo": KnownServer(
        # The frontend's binary, ai-dynamo 1.6.1; used with --router-session-affinity-ttl-secs.
        affinity_header="x-dynamo-session-id",
        source="Dynamo 1.6.1 frontend with mocker and with vLLM workers",
        date="2026-11-22",
        token_id_prompts=True,
        ignore_eos=True,
        min_tokens=True,
        continuous_usage=True,
        done_event=True,
        lists_models=True,
        version="/openapi.json",
        counters=FrozenMap(
            {
                "prompt_tokens": "dynamo_frontend_input_sequence_tokens_sum",
                "cached_prompt_tokens": "dynamo_frontend_cached_tokens_sum",
                "generated_tokens": "dynamo_frontend_output_tokens_total",
                "requests": "dynamo_frontend_requests_total",
                "running": "dynamo_frontend_inflight_requests",
                "waiting": "dynamo_frontend_queued_requests",
            }
        ),
    ),
    "transformers": KnownServer(
        # It ends streams without [DONE], and answers 422 to fields that it does not know.
        source="transformers serve 5.23.0, run on CPU",
        date="2026-11-21",
        seed=False,
        health=None,
        metrics=None,
    ),
}

# Servers whose prompt counter excludes cached tokens.
COUNT_COMPUTED_ONLY = frozenset({"llamacpp"})
