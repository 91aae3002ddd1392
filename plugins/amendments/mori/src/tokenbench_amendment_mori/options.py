"""Options of the amendment."""

from __future__ import annotations

from tokenbench.api import option, options


@options
class MoriOptions:
    """Options of the amendment. None keeps the default of MoRI or of the engine."""

    experts: bool = option(
        default=True, help="MoRI sends tokens to their experts, if experts are spread over ranks"
    )
    transfer: bool = option(
        default=True, help="SGLang: MoRI transfers KV cache from prefill to decode"
    )
    mode: str | None = option(
        default=None,
        choices=("high_throughput", "low_latency"),
        help="kernels of expert parallelism; default: low_latency for decode on vLLM, otherwise "
        "high_throughput",
        needs="experts=true",
    )
    dispatch_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="SGLang: maximum number of tokens that a rank sends to experts at once; default: a "
        "chunk of prefill",
        needs="experts=true",
    )
    tuned: bool = option(default=True, help="launch expert kernels with MoRI's tuned parameters")
    heap_gib: int | None = option(
        default=None,
        minimum=1,
        unit="GiB",
        help="memory of each GPU that MoRI shares with others",
        needs="experts=true",
    )
    heap_mode: str | None = option(
        default=None,
        choices=("static", "vmm", "isolation"),
        help="how that memory is allocated: at once, on demand, or one allocation per buffer",
        needs="experts=true",
    )
    devices: tuple[str, ...] = option(
        default=(), help="RDMA adapters (mlx5_0, ...; ^mlx5_0: all but these); default: all"
    )
    interface: str | None = option(
        default=None, help="network interface on which ranks find each other (eth0, ...)"
    )
    traffic_class: int | None = option(
        default=None, minimum=0, maximum=255, help="RDMA: traffic class of a lossless network"
    )
    service_level: int | None = option(
        default=None, minimum=0, maximum=15, help="RDMA: service level of a lossless network"
    )
    send_queue: int | None = option(
        default=None,
        minimum=1,
        help="SGLang, KV cache: requests that an RDMA send queue holds",
        needs="transfer=true",
    )
    blocking_wait: bool = option(
        default=True,
        help="SGLang: wait for RCCL without its watchdog, which breaks graph capture before ROCm "
        "7.2.2",
    )
