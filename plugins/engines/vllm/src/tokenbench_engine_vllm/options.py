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
    """Options of the engine. Those without a value are vLLM's own, or derived from the plan."""

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
        help="longest prompt and answer of a request; default: what the workloads need",
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
        help="accept fp4 weights on a chip that does not compute in fp4: vLLM converts them back "
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
    speculative_model: str | None = option(
        default=None,
        help="what drafts: a name among the model's extra weights, a folder or a hub name; "
        "default: the only one that the model has for the method",
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
        help="accept drafts at random so that a step gives this many tokens on average, whatever "
        "they are; results carry that it is synthetic, and answers have no meaning",
        needs="speculation",
    )

    kv_offload: str = option(
        default="none",
        choices=OFFLOAD,
        help="keep KV cache in the host's memory too; lmcache needs the package lmcache",
    )
    kv_offload_gib: float | None = option(
        default=None,
        minimum=0.1,
        unit="GiB",
        help="host memory for that, of all ranks together",
        needs="kv_offload",
    )

    kv_connector: str = option(
        default="nixl",
        choices=CONNECTORS,
        help="with pools for prefill and decode: what carries the KV cache from one to the other",
    )
    router_policy: str = option(
        default="round_robin",
        choices=("round_robin", "random", "power_of_two", "cache_aware", "consistent_hash"),
        help="with pools for prefill and decode: how vllm-router chooses workers",
    )

    all2all_backend: str | None = option(
        default=None,
        help="communication of expert parallelism (deepep_low_latency, ...)",
        flag="--all2all-backend",
    )
    eplb: bool = option(
        default=False, help="balance the load of experts while serving", flag="--enable-eplb"
    )
    attention_backend: str | None = option(
        default=None, help="attention kernels", flag="--attention-backend"
    )
    moe_backend: str | None = option(
        default=None, help="kernels of expert layers", flag="--moe-backend"
    )

    enforce_eager: bool = option(
        default=False,
        help="neither compile nor capture graphs: starts faster, runs slower",
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
        help="how tool calls are found in answers (hermes, deepseek_v3, ...); model: as the "
        "model's facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="how reasoning is told from the answer (deepseek_r1, qwen3, ...); model: as the "
        "model's facts say",
    )

    cpu_threads: int | None = option(
        default=None, minimum=1, help="on CPU: compute threads of each rank"
    )
    cpu_binding: str | None = option(
        default=None,
        help="on CPU: cores of the threads: auto (one NUMA node for each rank), nobind, or lists "
        "such as 0-15|16-31; default: auto for one rank, nobind for several",
    )

    def __attrs_post_init__(self) -> None:
        if self.kv_offload != "none" and self.kv_offload_gib is None:
            raise ValueError(f"kv_offload={self.kv_offload} needs kv_offload_gib=N")
        if self.cudagraph_mode == "none" and self.cudagraph_capture_sizes:
            raise ValueError("cudagraph_capture_sizes needs a cudagraph_mode other than none")
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min: expected at most ngram_max ({self.ngram_max})")
        check_drafts(self)
