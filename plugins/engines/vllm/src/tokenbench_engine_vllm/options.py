"""Options of the engine."""

from __future__ import annotations

from tokenbench.api import given_options, option, options

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
        help="share of each accelerator's memory (of the host's on CPU) that vLLM may use",
    )
    kv_cache_gib: int | None = option(
        default=None,
        minimum=1,
        unit="GiB",
        help="KV cache of each rank; default: what is left of the memory, on CPU what the largest "
        "concurrency needs",
    )
    block_size: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one block of the KV cache"
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
        help="accept fp4 weights on a chip that does not compute in fp4: vLLM converts them back "
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
    speculative_model: str | None = option(
        default=None,
        help="what drafts: a name among the model's extra weights, a folder or a hub name; "
        "default: the only one that the model has for the method",
    )
    ngram_min: int = option(
        default=2, minimum=1, unit="tokens", help="ngram: shortest match in the text so far"
    )
    ngram_max: int = option(
        default=4, minimum=1, unit="tokens", help="ngram: longest match in the text so far"
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
        help="keep KV cache in the host's memory too; lmcache needs the package lmcache",
    )
    kv_offload_gib: float | None = option(
        default=None, minimum=0.1, unit="GiB", help="host memory for that, of all ranks together"
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
        default=None, help="communication of expert parallelism (deepep_low_latency, ...)"
    )
    eplb: bool = option(default=False, help="balance the load of experts while serving")
    attention_backend: str | None = option(default=None, help="attention kernels")
    moe_backend: str | None = option(default=None, help="kernels of expert layers")

    enforce_eager: bool = option(
        default=False, help="neither compile nor capture graphs: starts faster, runs slower"
    )
    compile_level: int | None = option(
        default=None, minimum=0, maximum=3, help="optimization level: 0 starts fastest"
    )
    cudagraph_mode: str | None = option(
        default=None, choices=CUDAGRAPH_MODES, help="which parts run as captured graphs"
    )
    cudagraph_capture_sizes: tuple[int, ...] = option(
        default=(), minimum=1, help="batch sizes to capture graphs for; default: vLLM's own list"
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
        self._check_speculation()
        if (self.kv_offload == "none") != (self.kv_offload_gib is None):
            raise ValueError("kv_offload and kv_offload_gib belong together")
        if self.enforce_eager:
            for name in given_options(self, "cudagraph_mode", "cudagraph_capture_sizes"):
                raise ValueError(f"{name} needs enforce_eager=false")
        if self.cudagraph_mode == "none" and self.cudagraph_capture_sizes:
            raise ValueError("cudagraph_capture_sizes needs a cudagraph_mode other than none")

    def _check_speculation(self) -> None:
        method, tokens = self.speculation, self.speculative_tokens
        if method != "ngram":
            for name in given_options(self, "ngram_min", "ngram_max"):
                raise ValueError(f"{name} needs speculation=ngram")
        if method == "none":
            for name in given_options(
                self, "speculative_tokens", "speculative_model", "synthetic_acceptance_length"
            ):
                raise ValueError(f"{name} needs speculation=METHOD")
            return
        if tokens is None:
            raise ValueError(f"speculation={method} needs speculative_tokens=N")
        if method == "ngram" and self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min: expected at most ngram_max ({self.ngram_max})")
        length = self.synthetic_acceptance_length
        if length is not None and length > tokens + 1:
            raise ValueError(
                f"synthetic_acceptance_length: expected at most {tokens + 1} (a draft of {tokens} "
                f"and one more token), got {length:g}"
            )
