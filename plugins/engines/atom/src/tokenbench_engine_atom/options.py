"""Options of the engine."""

from __future__ import annotations

from tokenbench.api import check_drafts, option, options

SPECULATION = ("none", "eagle3", "mtp")
# Limit of 0.1.5 (config.py).
MOST_DRAFTS = 4


@options
class AtomOptions:
    """Options of the engine. None: ATOM's default, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with ATOM; default: the one that runs bench",
    )
    start_timeout_s: float = option(
        default=3600.0, minimum=1, unit="s", identity=False, help="time limit for the start"
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
        help="share of each accelerator's memory that ATOM may use",
        flag="--gpu-memory-utilization",
    )
    block_size: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="tokens in one block of the KV cache",
        flag="--block-size",
    )
    kv_cache_dtype: str | None = option(
        default=None,
        choices=("bf16", "fp8"),
        help="data type of the KV cache",
        flag="--kv_cache_dtype",
    )
    chunked_prefill: bool | None = option(
        default=None,
        help="compute long prompts in several batches",
        flag="--enable_chunked_prefill",
    )
    trust_remote_code: bool = option(
        default=False, help="run the model's custom Python code", flag="--trust-remote-code"
    )
    dummy_weights: bool = option(
        default=False,
        help="leave the weights uninitialised, for speed tests only",
        flag="--load_dummy",
    )

    speculation: str = option(
        default="none", choices=SPECULATION, help="method of speculative decoding"
    )
    speculative_tokens: int | None = option(
        default=None,
        minimum=1,
        maximum=MOST_DRAFTS,
        unit="tokens",
        help="draft tokens per step",
        flag="--num-speculative-tokens",
        needs="speculation",
    )
    speculative_model: str | None = option(
        default=None,
        help="eagle3: draft weights: the name of one of the model's extra weights, a folder or a "
        "hub name; default: the model's only one for the method",
        needs="speculation=eagle3",
    )

    all2all_backend: str | None = option(
        default=None,
        choices=("high-throughput", "low-latency"),
        help="kernels that send tokens to experts on other ranks (MORI)",
        flag="--all2all-backend",
    )
    two_batch_overlap: str | None = option(
        default=None,
        choices=("prefill", "all"),
        help="compute one half of a batch while the other half is sent",
        flag="--enable-tbo",
    )
    enforce_eager: bool = option(
        default=False,
        help="do not capture graphs: starts faster, runs slower",
        flag="--enforce-eager",
    )
    compile_level: int | None = option(
        default=None,
        minimum=0,
        maximum=3,
        help="level of compilation: 0 starts fastest",
        flag="--level",
    )
    cudagraph_capture_sizes: tuple[int, ...] = option(
        default=(),
        minimum=1,
        help="batch sizes to capture graphs for; default: ATOM's own list",
        needs="enforce_eager=false",
    )

    def __attrs_post_init__(self) -> None:
        check_drafts(self)
