"""Options of the engine."""

from __future__ import annotations

from tokenbench.api import given_options, option, options

SPECULATION = ("none", "eagle3", "mtp")
# Limit of 0.1.5 (config.py).
MOST_DRAFTS = 4


@options
class AtomOptions:
    """Options of the engine. Those without a value are ATOM's own, or derived from the plan."""

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
        help="longest prompt and answer of a request; default: what the workloads need",
    )
    max_num_seqs: int | None = option(
        default=None,
        minimum=1,
        help="requests in one batch, of each data-parallel rank; default: the largest concurrency "
        "of the plan",
    )
    max_num_batched_tokens: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one batch"
    )
    gpu_memory_utilization: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="share of each accelerator's memory that ATOM may use",
    )
    block_size: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one block of the KV cache"
    )
    kv_cache_dtype: str | None = option(
        default=None, choices=("bf16", "fp8"), help="data type of the KV cache"
    )
    chunked_prefill: bool | None = option(
        default=None, help="compute long prompts in several batches"
    )
    trust_remote_code: bool = option(
        default=False, help="run Python code that comes with the model"
    )
    dummy_weights: bool = option(
        default=False, help="leave the weights uninitialised, for tests of speed"
    )

    speculation: str = option(
        default="none", choices=SPECULATION, help="method that drafts tokens ahead"
    )
    speculative_tokens: int | None = option(
        default=None, minimum=1, maximum=MOST_DRAFTS, unit="tokens", help="tokens in one draft"
    )
    speculative_model: str | None = option(
        default=None,
        help="eagle3: what drafts: a name among the model's extra weights, a folder or a hub name; "
        "default: the only one that the model has for the method",
    )

    all2all_backend: str | None = option(
        default=None,
        choices=("high-throughput", "low-latency"),
        help="kernels that send tokens to experts on other ranks (MORI)",
    )
    two_batch_overlap: str | None = option(
        default=None,
        choices=("prefill", "all"),
        help="compute one half of a batch while the other is sent",
    )
    enforce_eager: bool = option(
        default=False, help="capture no graphs: starts faster, runs slower"
    )
    compile_level: int | None = option(
        default=None, minimum=0, maximum=3, help="level of compilation: 0 starts fastest"
    )
    cudagraph_capture_sizes: tuple[int, ...] = option(
        default=(), minimum=1, help="batch sizes to capture graphs for; default: ATOM's own list"
    )

    def __attrs_post_init__(self) -> None:
        if self.enforce_eager and self.cudagraph_capture_sizes:
            raise ValueError("cudagraph_capture_sizes needs enforce_eager=false")
        if self.speculation == "none":
            for name in given_options(self, "speculative_tokens", "speculative_model"):
                raise ValueError(f"{name} needs speculation=METHOD")
        elif self.speculative_tokens is None:
            raise ValueError(f"speculation={self.speculation} needs speculative_tokens=N")
        if self.speculation == "mtp" and self.speculative_model is not None:
            raise ValueError("speculative_model: ATOM takes MTP heads from the model's own weights")
