"""Options of the engine."""

from __future__ import annotations

from tokenbench.api import check_drafts, option, options

SPECULATION = ("none", "ngram", "draft", "eagle3", "mtp")
# Names of KvCacheConfig.dtype, CacheTransceiverConfig.backend and MoeConfig.backend.
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "nvfp4")
CONNECTORS = ("default", "nixl", "ucx", "mooncake", "mpi")
MOE_BACKENDS = (
    *("auto", "cutlass", "cutedsl", "trtllm", "deepgemm", "densegemm", "vanilla", "triton"),
    *("marlin", "megamoe_deepgemm", "megamoe_cutedsl"),
)


@options
class TrtllmOptions:
    """Options of the engine. None: TensorRT-LLM's default, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with TensorRT-LLM; default: the one that runs bench",
    )
    start_timeout_s: float = option(
        default=3600.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    context_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="maximum tokens of a prompt and its answer; default: what the workloads need",
    )
    max_batch_size: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch (with attention DP, of each rank); default: the plan's "
        "largest concurrency (with attention DP, twice a rank's share; for a prefill pool, the "
        "prompts of one batch)",
    )
    max_num_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one batch; default: enough for the largest prompt and one step of all "
        "requests with drafts",
    )
    free_gpu_memory_fraction: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of the memory left by weights and buffers that the KV cache gets",
    )
    block_size: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one block of the KV cache"
    )
    kv_cache_dtype: str | None = option(
        default=None, choices=KV_DTYPES, help="data type of the KV cache"
    )
    kv_offload_gib: float | None = option(
        default=None,
        minimum=0.1,
        unit="GiB",
        help="also keep KV cache in host memory, this much per rank",
    )
    chunked_prefill: bool | None = option(
        default=None, help="compute long prompts in several batches"
    )

    dtype: str | None = option(
        default=None,
        choices=("auto", "bfloat16", "float16", "float32"),
        help="data type of weights that are not quantized, and of activations",
    )
    load_format: str | None = option(
        default=None,
        choices=("auto", "dummy"),
        help="how weights are read; dummy: random weights, for speed tests only",
    )
    trust_remote_code: bool = option(default=False, help="run the model's custom Python code")

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
    ngram_max: int = option(
        default=2,
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

    moe_backend: str | None = option(
        default=None,
        choices=MOE_BACKENDS,
        help="kernels of expert layers; default: the recommended ones for chip and precision, if "
        "known",
    )
    attention_dp_balance: bool = option(
        default=False,
        help="with attention DP: a rank waits to compute a prompt until other ranks have prompts "
        "too",
    )
    cuda_graphs: bool = option(default=True, help="capture CUDA graphs for decoding")
    cuda_graph_padding: bool = option(
        default=True, help="round batches up to the next captured size", needs="cuda_graphs=true"
    )
    cuda_graph_batch_sizes: tuple[int, ...] = option(
        default=(),
        minimum=1,
        help="batch sizes to capture; default: up to the largest batch",
        needs="cuda_graphs=true",
    )
    stream_interval: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens per event of a stream"
    )
    num_postprocess_workers: int | None = option(
        default=None, minimum=0, help="processes that detokenize"
    )
    request_metrics: bool = option(
        default=True,
        help="count tokens and requests; without it the server has no metrics page",
    )
    iteration_metrics: bool = option(
        default=False,
        help="also report batches and KV cache, which costs time in every step",
        needs="request_metrics=true",
    )

    kv_connector: str = option(
        default="default",
        choices=CONNECTORS,
        help="disaggregated: how KV cache is transferred",
    )
    mpirun: str = option(
        default="mpirun", identity=False, help="program that starts ranks on several hosts"
    )

    chat_template_file: str | None = option(
        default=None, help="file with a chat template that replaces the model's"
    )
    tool_call_parser: str | None = option(
        default=None,
        help="parser of tool calls; auto: as TensorRT-LLM knows the model; model: "
        "as the model's facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="parser of reasoning; auto and model as for tool_call_parser",
    )

    def __attrs_post_init__(self) -> None:
        check_drafts(self)
