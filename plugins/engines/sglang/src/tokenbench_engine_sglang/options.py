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
    """Options of the engine. None: SGLang's default, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with SGLang; default: the one that runs bench",
    )
    version: str | None = option(
        default=None,
        help="SGLang version to plan flags for, such as 0.5.21; default: the interpreter's, or "
        "the newest known",
        check=_version,
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="maximum tokens of a prompt and its answer; default: what the workloads need",
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
        help="prompt tokens in one batch; -1: prompts are not split",
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
        help="allow fp4 weights on a chip without fp4 arithmetic: SGLang dequantizes them in each "
        "operation",
    )
    load_format: str | None = option(
        default=None,
        help="how weights are read; dummy: random weights, for speed tests only",
        flag="--load-format",
    )
    trust_remote_code: bool = option(
        default=False, help="run the model's custom Python code", flag="--trust-remote-code"
    )

    speculation: str = option(
        default="none", choices=SPECULATION, help="method of speculative decoding"
    )
    speculative_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="draft tokens per step", needs="speculation"
    )
    speculative_topk: int = option(
        default=1,
        minimum=1,
        help="branches per draft step; above 1 a draft is a tree of depth speculative_tokens",
        needs="speculation",
    )
    speculative_tree_tokens: int | None = option(
        default=None,
        minimum=2,
        unit="tokens",
        help="tokens verified per step; default: speculative_tokens + 1",
        needs="speculation",
    )
    speculative_model: str | None = option(
        default=None,
        help="draft weights: the name of one of the model's extra weights, a folder or a hub "
        "name; default: the model's only one for the method",
        needs="speculation",
    )
    synthetic_acceptance_length: float | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="accept random drafts so that a step yields this many tokens on average; results are "
        "marked as synthetic, and answers are meaningless",
        needs="speculation",
    )

    kv_offload: str = option(
        default="none",
        choices=OFFLOAD,
        help="also keep KV cache in host memory; needs the prefix cache",
    )
    kv_offload_gib: int | None = option(
        default=None,
        minimum=1,
        unit="GiB",
        help="hicache: host memory per rank",
        flag="--hicache-size",
        needs="kv_offload=hicache",
    )
    kv_storage: str = option(
        default="none",
        choices=STORAGE,
        help="hicache: storage backend for KV cache beyond host memory",
        needs="kv_offload=hicache",
    )

    kv_connector: str = option(
        default="mooncake",
        choices=TRANSFER,
        help="disaggregated: how KV cache is transferred",
    )
    kv_devices: str | None = option(
        default=None,
        identity=False,
        help="disaggregated: network devices for KV cache (mlx5_0); default: all",
    )
    router_policy: str = option(
        default="round_robin",
        choices=POLICIES,
        help="several servers: policy by which SGLang's router chooses one",
    )

    all2all_backend: str | None = option(
        default=None,
        help="communication of expert parallelism (deepep, mori, mooncake, ...)",
        flag="--moe-a2a-backend",
    )
    eplb: bool = option(
        default=False, help="balance load between experts while serving", flag="--enable-eplb"
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
        help="largest decode batch that is captured as a graph",
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
        help="parser of tool calls (qwen25, deepseekv3, ...); model: as the model's facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="parser of reasoning (deepseek-r1, qwen3, ...); model: as the model's facts say",
    )

    cpu_binding: str | None = option(
        default=None, help="on CPU: cores of each rank, such as 0-15|16-31"
    )

    def __attrs_post_init__(self) -> None:
        check_drafts(self)
        tokens, tree = self.speculative_tokens, self.speculative_tree_tokens
        chain = self.speculation != "ngram" and self.speculative_topk == 1
        if chain and tree is not None and tokens is not None and tree != tokens + 1:
            # SGLang puts its own number in its place.
            raise ValueError("speculative_tree_tokens needs a speculative_topk above 1")
