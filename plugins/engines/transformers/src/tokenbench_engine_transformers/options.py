"""Options of the engine."""

from __future__ import annotations

import json

from tokenbench.api import option, options

# What the server accepts (transformers 5.23.0, cli/serve.py and cli/serving/model_manager.py).
DTYPES = ("auto", "float32", "bfloat16", "float16")
# Device types of torch 2.13 that compute, and those of its extensions torch_npu and torch_mlu.
DEVICES = ("auto", "cpu", "cuda", "xpu", "hpu", "npu", "mlu", "mtia", "mps", "xla")
QUANTIZATION = ("bnb-4bit", "bnb-8bit")
REASONING = ("auto", "on", "off")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are not JSON.


def _device(text: str) -> None:
    kind, _, number = text.partition(":")
    if kind not in DEVICES or not (number.isdecimal() or kind == text):
        raise ValueError(f"expected auto, or {', '.join(DEVICES[1:])} with :NUMBER, got {text!r}")


def _json_object(text: str) -> None:
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {text!r}")


@options
class TransformersOptions:
    """Options of the engine. None: transformers' default, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with transformers and its extra `serving`; default: the one that "
        "runs bench",
    )
    start_timeout_s: float = option(
        default=600.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    device: str | None = option(
        default=None,
        help="cpu, cuda:0, or auto (layers spread over all visible accelerators); default: cpu if "
        "the hardware is a CPU, else auto",
        flag="--device",
        check=_device,
    )
    dtype: str | None = option(
        default=None,
        choices=DTYPES,
        help="data type of weights and activations; default: auto, that of the weights",
        flag="--dtype",
    )
    quantization: str | None = option(
        default=None,
        choices=QUANTIZATION,
        help="quantize weights while loading; needs the package bitsandbytes",
        flag="--quantization",
    )
    attention: str | None = option(
        default=None,
        help="attention implementation: eager, sdpa, flash_attention_2, flash_attention_3, "
        "flex_attention, or a kernel on the hub (ORG/NAME)",
        flag="--attn-implementation",
    )
    compile: bool = option(
        default=False,
        help="compile the model with torch.compile, with a static KV cache",
        flag="--compile",
    )
    trust_remote_code: bool = option(
        default=False, help="run the model's custom Python code", flag="--trust-remote-code"
    )

    continuous_batching: bool = option(
        default=False,
        help="batch requests, with paged attention; false: one request after the other",
        flag="--continuous-batching",
    )
    block_size: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="continuous batching: tokens in one block of the KV cache",
        flag="--cb-block-size",
        needs="continuous_batching=true",
    )
    kv_cache_blocks: int | None = option(
        default=None,
        minimum=1,
        help="continuous batching: blocks in the KV cache; default: what is left of the memory, on "
        "CPU what the largest concurrency needs",
        flag="--cb-num-blocks",
        needs="continuous_batching=true",
    )
    max_num_batched_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="continuous batching: tokens in one batch",
        flag="--cb-max-batch-tokens",
        needs="continuous_batching=true",
    )
    kv_cache_memory_share: float | None = option(
        default=None,
        minimum=0.01,
        maximum=1,
        help="continuous batching: share of the memory that the KV cache may use",
        flag="--cb-max-memory-percent",
        needs="continuous_batching=true",
    )
    cuda_graphs: bool | None = option(
        default=None,
        help="continuous batching: capture CUDA graphs; default: transformers decides",
        flag="--cb-use-cuda-graph",
        needs="continuous_batching=true",
    )

    reasoning: str | None = option(
        default=None,
        choices=REASONING,
        help="switch reasoning on or off, for models whose chat template supports it",
        flag="--reasoning",
    )
    chat_template_kwargs: str | None = option(
        default=None,
        help="variables of the chat template, a JSON object",
        flag="--chat-template-kwargs",
        check=_json_object,
    )
    default_seed: int | None = option(
        default=None,
        minimum=0,
        help="seed of torch's random numbers at the start",
        flag="--default-seed",
    )
    log_level: str | None = option(
        default=None,
        choices=LOG_LEVELS,
        identity=False,
        help="level of transformers' log",
        flag="--log-level",
    )
    cpu_threads: int | None = option(
        default=None, minimum=1, help="on CPU: compute threads; default: torch's own"
    )
