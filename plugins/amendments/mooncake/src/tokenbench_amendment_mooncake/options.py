"""Options of the amendment."""

from __future__ import annotations

from tokenbench.api import option, options


@options
class MooncakeOptions:
    """Options of the amendment. Sizes without a value are the engine's own."""

    protocol: str = option(
        default="tcp",
        choices=("tcp", "rdma"),
        help="how KV cache travels; rdma needs InfiniBand or RoCE adapters",
    )
    devices: tuple[str, ...] = option(
        default=(), help="with rdma: the adapters (mlx5_0, ...); default: those that Mooncake finds"
    )
    segment_gib: float | None = option(
        default=None,
        minimum=0.0625,
        unit="GiB",
        help="host memory for the store: of each rank of vLLM, of each server of SGLang (its ranks "
        "share it); default: 4",
    )
    buffer_gib: float | None = option(
        default=None,
        minimum=0.0625,
        unit="GiB",
        help="vLLM: buffer of each rank for transfers; default: 4",
    )
    metadata: str = option(
        default="handshake",
        choices=("handshake", "http"),
        help="how clients find each other's memory: they ask each other, or a metadata service "
        "that is started beside the master",
    )
    prefetch_policy: str | None = option(
        default=None,
        choices=("best_effort", "wait_complete", "timeout"),
        help="SGLang: when it stops waiting for KV cache from the store",
    )
    python: str | None = option(
        default=None,
        help="Python interpreter with mooncake-transfer-engine, for the store's own processes; "
        "default: the engine's",
    )

    def __attrs_post_init__(self) -> None:
        if self.devices and self.protocol != "rdma":
            raise ValueError("devices needs protocol=rdma")
