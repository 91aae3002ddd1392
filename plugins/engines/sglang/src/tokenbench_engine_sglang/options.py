"""Options of the engine."""

from __future__ import annotations

import re

from tokenbench.api import given_options, option, options

SPECULATION = ("none", "ngram", "draft", "eagle", "eagle3", "mtp")
OFFLOAD = ("none", "hicache", "lmcache")
# Choices of --disaggregation-transfer-backend that carry KV cache on GPUs (SGLang 0.5.23).
TRANSFER = ("mooncake", "nixl", "mori")
STORAGE = ("none", "file", "mooncake", "nixl", "hf3fs")
KV_DTYPES = ("auto", "bf16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4")
POLICIES = ("round_robin", "random", "power_of_two", "cache_aware")
_SPECULATIVE = (
    *("speculative_tokens", "speculative_topk", "speculative_tree_tokens", "speculative_model"),
    "synthetic_acceptance_length",
)


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
    )
    max_running_requests: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch, of all data-parallel ranks; default: the largest concurrency "
        "of the plan",
    )
    chunked_prefill_tokens: int | None = option(
        default=None,
        minimum=-1,
        unit="tokens",
        help="prompt tokens in one batch; -1: prompts are not divided",
    )
    memory_share: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of each accelerator's memory for weights and KV cache",
    )
    kv_cache_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="KV cache of each rank; default: what is left of the memory",
    )
    block_size: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one page of the KV cache"
    )

    dtype: str | None = option(
        default=None,
        choices=("auto", "bfloat16", "float16", "float32"),
        help="data type of weights that are not quantized, and of activations",
    )
    quantization: str | None = option(
        default=None,
        help="quantization method; default: the one that the model's configuration names",
    )
    kv_cache_dtype: str | None = option(
        default=None, choices=KV_DTYPES, help="data type of the KV cache"
    )
    fp4_weight_only: bool = option(
        default=False,
        help="accept fp4 weights on a chip that does not compute in fp4: SGLang converts them back "
        "for each operation",
    )
    load_format: str | None = option(
        default=None, help="how weights are read; dummy: random weights, for tests of speed"
    )
    trust_remote_code: bool = option(
        default=False, help="run Python code that comes with the model"
    )

    speculation: str = option(
        default="none", choices=SPECULATION, help="method that drafts tokens ahead"
    )
    speculative_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one draft"
    )
    speculative_topk: int = option(
        default=1,
        minimum=1,
        help="branches at each step of a draft; above 1 a draft is a tree, and speculative_tokens "
        "is its depth",
    )
    speculative_tree_tokens: int | None = option(
        default=None,
        minimum=2,
        unit="tokens",
        help="tokens that one step verifies; default: a draft and one more",
    )
    speculative_model: str | None = option(
        default=None,
        help="what drafts: a name among the model's extra weights, a folder or a hub name; "
        "default: the only one that the model has for the method",
    )
    synthetic_acceptance_length: float | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="accept drafts at random so that a step gives this many tokens on average, whatever "
        "they are; results carry that it is synthetic, and answers have no meaning",
    )

    kv_offload: str = option(
        default="none",
        choices=OFFLOAD,
        help="keep KV cache in the host's memory too; needs the prefix cache",
    )
    kv_offload_gib: int | None = option(
        default=None, minimum=1, unit="GiB", help="hicache: host memory for that, of each rank"
    )
    kv_storage: str = option(
        default="none", choices=STORAGE, help="hicache: where KV cache goes beyond that memory"
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
        default=None, help="communication of expert parallelism (deepep, mori, mooncake, ...)"
    )
    eplb: bool = option(default=False, help="balance the load of experts while serving")
    attention_backend: str | None = option(default=None, help="attention kernels")
    moe_backend: str | None = option(default=None, help="kernels of expert layers")

    cuda_graphs: bool = option(
        default=True, help="capture graphs; false: starts faster, runs slower"
    )
    cuda_graph_max_batch: int | None = option(
        default=None, minimum=1, help="largest batch of decode that is captured as a graph"
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
        self._check_speculation()
        if self.kv_offload != "hicache":
            for name in given_options(self, "kv_offload_gib", "kv_storage"):
                raise ValueError(f"{name} needs kv_offload=hicache")
        if self.cuda_graph_max_batch is not None and not self.cuda_graphs:
            raise ValueError("cuda_graph_max_batch needs cuda_graphs=true")

    def _check_speculation(self) -> None:
        method, tokens = self.speculation, self.speculative_tokens
        if method == "none":
            for name in given_options(self, *_SPECULATIVE):
                raise ValueError(f"{name} needs speculation=METHOD")
            return
        if tokens is None:
            raise ValueError(f"speculation={method} needs speculative_tokens=N")
        tree = self.speculative_tree_tokens
        if method != "ngram" and self.speculative_topk == 1 and tree not in (None, tokens + 1):
            # SGLang puts its own number in its place.
            raise ValueError("speculative_tree_tokens needs a speculative_topk above 1")
        length = self.synthetic_acceptance_length
        if length is not None and length > tokens + 1:
            raise ValueError(
                f"synthetic_acceptance_length: expected at most {tokens + 1} (a draft of {tokens} "
                f"and one more token), got {length:g}"
            )
