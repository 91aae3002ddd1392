"""Options of the engine."""

from __future__ import annotations

from tokenbench.api import check_drafts, option, options

SPECULATION = ("none", "ngram", "draft", "eagle", "eagle3", "mtp")
OFFLOAD = ("none", "native", "lmcache")
# CompilationConfig.cudagraph_mode of vLLM 0.32.
CUDAGRAPH_MODES = ("none", "piecewise", "full", "full_decode_only", "full_and_piecewise")
CONNECTORS = ("nixl", "mooncake")
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "nvfp4")


@options
class VllmOptions:
    """Options of the engine. None: vLLM's default, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with vLLM; default: the one that runs bench",
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="maximum tokens of a prompt and its answer; default: what the workloads need",
        flag="--max-model-len",
    )
    max_num_seqs: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch, of each data-parallel rank; default: the largest concurrency "
        "of the plan",
        flag="--max-num-seqs",
    )
    max_num_batched_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one batch",
        flag="--max-num-batched-tokens",
    )
    gpu_memory_utilization: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of each accelerator's memory (of the host's on CPU) that vLLM may use",
        flag="--gpu-memory-utilization",
    )
    kv_cache_gib: int | None = option(
        default=None,
        minimum=1,
        unit="GiB",
        help="KV cache of each rank; default: what is left of the memory, on CPU what the largest "
        "concurrency needs",
    )
    block_size: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one block of the KV cache",
        flag="--block-size",
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
        help="allow fp4 weights on a chip without fp4 arithmetic: vLLM dequantizes them in each "
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
    speculative_model: str | None = option(
        default=None,
        help="draft weights: the name of one of the model's extra weights, a folder or a hub "
        "name; default: the model's only one for the method",
        needs="speculation",
    )
    ngram_min: int = option(
        default=2,
        minimum=1,
        unit="tokens",
        help="ngram: shortest match in the text so far",
        needs="speculation=ngram",
    )
    ngram_max: int = option(
        default=4,
        minimum=1,
        unit="tokens",
        help="ngram: longest match in the text so far",
        needs="speculation=ngram",
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
        help="also keep KV cache in host memory; lmcache needs the package lmcache",
    )
    kv_offload_gib: float | None = option(
        default=None,
        minimum=0.1,
        unit="GiB",
        help="host memory for the offloaded KV cache, of all ranks together",
        needs="kv_offload",
    )

    kv_connector: str = option(
        default="nixl",
        choices=CONNECTORS,
        help="disaggregated: how KV cache is transferred",
    )
    router_policy: str = option(
        default="round_robin",
        choices=("round_robin", "random", "power_of_two", "cache_aware", "consistent_hash"),
        help="disaggregated: policy by which vllm-router chooses workers",
    )

    all2all_backend: str | None = option(
        default=None,
        help="communication of expert parallelism (deepep_low_latency, ...)",
        flag="--all2all-backend",
    )
    eplb: bool = option(
        default=False, help="balance load between experts while serving", flag="--enable-eplb"
    )
    attention_backend: str | None = option(
        default=None, help="attention kernels", flag="--attention-backend"
    )
    moe_backend: str | None = option(
        default=None, help="kernels of expert layers", flag="--moe-backend"
    )

    enforce_eager: bool = option(
        default=False,
        help="do not compile or capture graphs: starts faster, runs slower",
        flag="--enforce-eager",
    )
    compile_level: int | None = option(
        default=None,
        minimum=0,
        maximum=3,
        help="optimization level: 0 starts fastest",
        flag="--optimization-level",
    )
    cudagraph_mode: str | None = option(
        default=None,
        choices=CUDAGRAPH_MODES,
        help="which parts run as captured graphs",
        needs="enforce_eager=false",
    )
    cudagraph_capture_sizes: tuple[int, ...] = option(
        default=(),
        minimum=1,
        help="batch sizes to capture graphs for; default: vLLM's own list",
        flag="--cudagraph-capture-sizes",
        needs="enforce_eager=false",
    )

    chat_template_file: str | None = option(
        default=None, help="file with a chat template that replaces the model's"
    )
    tool_call_parser: str | None = option(
        default=None,
        help="parser of tool calls (hermes, deepseek_v3, ...); model: as the model's facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="parser of reasoning (deepseek_r1, qwen3, ...); model: as the model's facts say",
    )

    cpu_threads: int | None = option(
        default=None, minimum=1, help="on CPU: compute threads of each rank"
    )
    cpu_binding: str | None = option(
        default=None,
        help="on CPU: cores of each rank: auto (a NUMA node each), nobind, or lists such as "
        "0-15|16-31; default: auto for one rank, nobind for several",
    )

    def __attrs_post_init__(self) -> None:
        if self.kv_offload != "none" and self.kv_offload_gib is None:
            raise ValueError(f"kv_offload={self.kv_offload} needs kv_offload_gib=N")
        if self.cudagraph_mode == "none" and self.cudagraph_capture_sizes:
            raise ValueError("cudagraph_capture_sizes needs a cudagraph_mode other than none")
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min: expected at most ngram_max ({self.ngram_max})")
        check_drafts(self)
