"""Options of the engine."""

from __future__ import annotations

from typing import Any

from tokenbench.api import http_url, named_values, option, options

DISCOVERY = ("file", "etcd")
REQUEST_PLANES = ("tcp", "nats")
# Those of `dynamo.frontend --router-mode` that choose a worker without further settings.
ROUTER_MODES = ("kv", "round-robin", "random", "power-of-two", "least-loaded")
MOCKER = "mocker"


def _nats(url: str) -> None:
    if not url.startswith("nats://"):
        raise ValueError(f"expected nats://HOST:PORT, got {url!r}")
    http_url("http" + url.removeprefix("nats"))


@options
class DynamoOptions:
    """Options of the engine. None: Dynamo's default."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with Dynamo and the workers' engine; default: the one that runs "
        "bench",
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    worker: str = option(
        default="vllm",
        help="the workers' engine, for pools that name none: vllm, sglang, trtllm, or mocker "
        "(Dynamo's simulation without a model)",
    )
    worker_options: str = option(
        default="",
        help="options of that engine, as KEY=VALUE,...; in a suite, pools have their own",
    )
    block_size: int | None = option(
        default=None, minimum=1, unit="tokens", help="tokens in one block of the workers' KV cache"
    )

    router_mode: str = option(
        default="kv", choices=ROUTER_MODES, help="how the frontend chooses a worker"
    )
    discovery: str = option(
        default="file",
        choices=DISCOVERY,
        help="service discovery: file, in a folder that all processes share; etcd, a server that "
        "is started with them",
    )
    etcd: str = option(
        default="etcd",
        identity=False,
        help="program of etcd, for discovery=etcd",
        needs="discovery=etcd",
    )
    request_plane: str = option(
        default="tcp",
        choices=REQUEST_PLANES,
        help="transport of requests from the frontend to workers",
    )
    nats_url: str | None = option(
        default=None,
        identity=False,
        help="address of a running NATS server, nats://HOST:PORT",
        needs="request_plane=nats",
        check=_nats,
    )

    speedup: float | None = option(
        default=None,
        minimum=0,
        help="mocker: speed-up of the simulated times; 0: answer immediately",
        needs="worker=mocker",
    )
    startup_s: float | None = option(
        default=None,
        minimum=0,
        unit="s",
        help="mocker: simulated start time",
        needs="worker=mocker",
    )

    def __attrs_post_init__(self) -> None:
        if self.request_plane == "nats" and self.nats_url is None:
            raise ValueError("request_plane=nats needs nats_url=nats://HOST:PORT")
        if self.worker == MOCKER and self.worker_options:
            raise ValueError("worker_options: the mocker takes no engine options")
        if "block_size" in self.worker_values() and self.block_size is not None:
            raise ValueError("block_size is given twice: here and in worker_options")

    def worker_values(self) -> dict[str, Any]:
        """`worker_options` by name."""
        return named_values(self.worker_options, "worker_options")
