"""Options of the engine."""

from __future__ import annotations

import re

from tokenbench.api import check_drafts, option, options

SPECULATION = ("none", "ngram", "draft", "eagle", "eagle3", "mtp")
OFFLOAD = ("none", "hicache", "lmcache")
# Choices of --disaggregation-transfer-backend that carry KV cache on GPUs (SGLang 0.5.23).
TRANSFER = ("mooncake", "nixl", "mori")
STORAGE = ("none", "file", "mooncake", "nixl", "hf3fs")
KV_DTYPES = ("auto", "bf16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4")
POLICIES = ("round_robin", "random", "power_of_two", "cache_aware")


def _version(text: str) -> None:
    if not re.fullmatch(r"[0-9]+\.[0-9]+.*", text):
        raise ValueError(f"expected a version such as 0.5.21, got {text!r}")


@options
class SglangOptions:
    """Options of the engine. Those without a value are SGLang's own, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with SGLang; default: the one that runs bench",
    )
    version: str | None = option(
        default=None,
        help="version to write flags for, where it is not the one of that interpreter (0.5.21); "
        "default: that one, or the newest known",
        check=_version,
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="longest prompt and answer of a request; default: what the workloads need",
        flag="--context-length",
    )
    max_running_requests: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch, of all data-parallel ranks; default: the largest concurrency "
        "of the plan",
        flag="--max-running-requests",
    )
    chunked_prefill_tokens: int | None = option(
        default=None,
        minimum=-1,
        unit="tokens",
        help="prompt tokens in one batch; -1: prompts are not divided",
        flag="--chunked-prefill-size",
    )
    memory_share: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of each accelerator's memory for weights and KV cache",
        flag="--mem-fraction-static",
    )
    kv_cache_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="KV cache of each rank; default: what is left of the memory",
        flag="--max-total-tokens",
    )
    block_size: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one page of the KV cache",
        flag="--page-size",
    )

    dtype: str | None = option(
        default=None,
        choices=("auto", "bfloat16", "float16", "float32"),
        help="data type of weights that are not quantized, and of activations",
        flag="--dtype",
    )
    quantization: str | None = option(
        default=None,
        help="quantization method; default: the one that the model's configuration names",
        flag="--quantization",
    )
    kv_cache_dtype: str | None = option(
        default=None, choices=KV_DTYPES, help="data type of the KV cache", flag="--kv-cache-dtype"
    )
    fp4_weight_only: bool = option(
        default=False,
        help="accept fp4 weights on a chip that does not compute in fp4: SGLang converts them back "
        "for each operation",
    )
    load_format: str | None = option(
        default=None,
        help="how weights are read; dummy: random weights, for tests of speed",
        flag="--load-format",
    )
    trust_remote_code: bool = option(
        default=False, help="run Python code that comes with the model", flag="--trust-remote-code"
    )

    speculation: str = option(
        default="none", choices=SPECULATION, help="method that drafts tokens ahead"
    )
    speculative_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one draft", needs="speculation"
    )
    speculative_topk: int = option(
        default=1,
        minimum=1,
        help="branches at each step of a draft; above 1 a draft is a tree, and speculative_tokens "
        "is its depth",
        needs="speculation",
    )
    speculative_tree_tokens: int | None = option(
        default=None,
        minimum=2,
        unit="tokens",
        help="tokens that one step verifies; default: a draft and one more",
        needs="speculation",
    )
    speculative_model: str | None = option(
        default=None,
        help="what drafts: a name among the model's extra weights, a folder or a hub name; "
        "default: the only one that the model has for the method",
        needs="speculation",
    )
    synthetic_acceptance_length: float | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="accept drafts at random so that a step gives this many tokens on average, whatever "
        "they are; results carry that it is synthetic, and answers have no meaning",
        needs="speculation",
    )

    kv_offload: str = option(
        default="none",
        choices=OFFLOAD,
        help="keep KV cache in the host's memory too; needs the prefix cache",
    )
    kv_offload_gib: int | None = option(
        default=None,
        minimum=1,
        unit="GiB",
        help="hicache: host memory for that, of each rank",
        flag="--hicache-size",
        needs="kv_offload=hicache",
    )
    kv_storage: str = option(
        default="none",
        choices=STORAGE,
        help="hicache: where KV cache goes beyond that memory",
        needs="kv_offload=hicache",
    )

    kv_connector: str = option(
        default="mooncake",
        choices=TRANSFER,
        help="with pools for prefill and decode: what carries the KV cache from one to the other",
    )
    kv_devices: str | None = option(
        default=None,
        identity=False,
        help="with pools for prefill and decode: network devices for that (mlx5_0); default: all",
    )
    router_policy: str = option(
        default="round_robin",
        choices=POLICIES,
        help="with several servers: how SGLang's router chooses one",
    )

    all2all_backend: str | None = option(
        default=None,
        help="communication of expert parallelism (deepep, mori, mooncake, ...)",
        flag="--moe-a2a-backend",
    )
    eplb: bool = option(
        default=False, help="balance the load of experts while serving", flag="--enable-eplb"
    )
    attention_backend: str | None = option(
        default=None, help="attention kernels", flag="--attention-backend"
    )
    moe_backend: str | None = option(
        default=None, help="kernels of expert layers", flag="--moe-runner-backend"
    )

    cuda_graphs: bool = option(
        default=True, help="capture graphs; false: starts faster, runs slower"
    )
    cuda_graph_max_batch: int | None = option(
        default=None,
        minimum=1,
        help="largest batch of decode that is captured as a graph",
        flag="--cuda-graph-max-bs-decode",
        needs="cuda_graphs=true",
    )
    overlap_schedule: bool = option(
        default=True, help="prepare the next batch while the accelerator computes"
    )

    chat_template_file: str | None = option(
        default=None, help="file with a chat template that replaces the model's"
    )
    tool_call_parser: str | None = option(
        default=None,
        help="how tool calls are found in answers (qwen25, deepseekv3, ...); model: as the model's "
        "facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="how reasoning is told from the answer (deepseek-r1, qwen3, ...); model: as the "
        "model's facts say",
    )

    cpu_binding: str | None = option(
        default=None, help="on CPU: cores of the threads of each rank, such as 0-15|16-31"
    )

    def __attrs_post_init__(self) -> None:
        check_drafts(self)
        tokens, tree = self.speculative_tokens, self.speculative_tree_tokens
        chain = self.speculation != "ngram" and self.speculative_topk == 1
        if chain and tree is not None and tokens is not None and tree != tokens + 1:
            # SGLang puts its own number in its place.
            raise ValueError("speculative_tree_tokens needs a speculative_topk above 1")
