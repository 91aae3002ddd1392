"""Options of the amendment."""

from __future__ import annotations

from tokenbench.api import option, options


@options
class NixlOptions:
    """Options of the amendment. None keeps the default of NIXL or UCX."""

    backend: str | None = option(
        default=None,
        choices=("UCX", "GPUNETIO", "LIBFABRIC", "Mooncake", "UCCL"),
        help="NIXL's backend plugin, which transfers the KV cache; default: UCX",
    )
    transports: tuple[str, ...] = option(
        default=(), help="UCX transports that may be used (rc, cuda_copy, cuda_ipc, tcp, ...)"
    )
    devices: tuple[str, ...] = option(
        default=(), help="network devices of UCX (mlx5_0:1, eth0, ...); default: all"
    )
    rack_nvlink: bool | None = option(
        default=None,
        help="UCX uses NVLink between the hosts of a rack; default: true on GB200 and GB300, with "
        "UCX as backend",
    )
    gid_index: int | None = option(
        default=None, minimum=0, help="RoCE: index of the address (GID) of the adapters"
    )
    traffic_class: int | None = option(
        default=None, minimum=0, maximum=255, help="RoCE: traffic class of a lossless network"
    )
    log_level: str | None = option(
        default=None,
        choices=("TRACE", "DEBUG", "INFO", "WARN", "ERROR"),
        help="log level of NIXL",
    )

    def __attrs_post_init__(self) -> None:
        if self.backend not in (None, "UCX"):
            for name in ("transports", "devices", "rack_nvlink", "gid_index", "traffic_class"):
                if getattr(self, name) not in (None, ()):
                    raise ValueError(f"{name} needs UCX as backend, not {self.backend}")
