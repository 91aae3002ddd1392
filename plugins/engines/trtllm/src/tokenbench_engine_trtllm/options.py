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
    """Options of the engine. Those without a value are TensorRT-LLM's own, or derived from the
    plan.
    """

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
        help="longest prompt and answer of a request; default: what the workloads need",
    )
    max_batch_size: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch, of each rank with attention DP; default: the largest "
        "concurrency of the plan; with attention DP twice a rank's share of it; of a prefill pool, "
        "the prompts that fit into one batch",
    )
    max_num_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one batch; default: room for the largest prompt and for one step of all "
        "requests, drafts included",
    )
    free_gpu_memory_fraction: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of the memory that weights and buffers leave free, for the KV cache",
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
        help="keep KV cache in the host's memory too, this much of each rank",
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
        help="how weights are read; dummy: random weights, for tests of speed",
    )
    trust_remote_code: bool = option(
        default=False, help="run Python code that comes with the model"
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
        help="accept drafts at random so that a step gives this many tokens on average, whatever "
        "they are; results carry that it is synthetic, and answers have no meaning",
        needs="speculation",
    )

    moe_backend: str | None = option(
        default=None,
        choices=MOE_BACKENDS,
        help="kernels of expert layers; default: by chip and precision, where a source recommends "
        "one",
    )
    attention_dp_balance: bool = option(
        default=False,
        help="with attention DP: wait for prompts on other ranks before a rank computes its own",
    )
    cuda_graphs: bool = option(default=True, help="capture CUDA graphs for decoding")
    cuda_graph_padding: bool = option(
        default=True, help="round batches up to the next captured size", needs="cuda_graphs=true"
    )
    cuda_graph_batch_sizes: tuple[int, ...] = option(
        default=(),
        minimum=1,
        help="sizes to capture; default: up to the largest batch",
        needs="cuda_graphs=true",
    )
    stream_interval: int | None = option(
        default=None, minimum=1, unit="tokens", help="send an event for this many tokens"
    )
    num_postprocess_workers: int | None = option(
        default=None, minimum=0, help="processes that turn tokens into text"
    )
    request_metrics: bool = option(
        default=True,
        help="count tokens and requests; without it the server has no page of metrics",
    )
    iteration_metrics: bool = option(
        default=False,
        help="report batches and KV cache too, which costs time in every step",
        needs="request_metrics=true",
    )

    kv_connector: str = option(
        default="default",
        choices=CONNECTORS,
        help="with pools for prefill and decode: what carries the KV cache from one to the other",
    )
    mpirun: str = option(
        default="mpirun", identity=False, help="program that starts ranks on several hosts"
    )

    chat_template_file: str | None = option(
        default=None, help="file with a chat template that replaces the model's"
    )
    tool_call_parser: str | None = option(
        default=None,
        help="how tool calls are found in answers; auto: as TensorRT-LLM knows the model; model: "
        "as the model's facts say",
    )
    reasoning_parser: str | None = option(
        default=None,
        help="how reasoning is told from the answer; auto and model as for tool_call_parser",
    )

    def __attrs_post_init__(self) -> None:
        check_drafts(self)
