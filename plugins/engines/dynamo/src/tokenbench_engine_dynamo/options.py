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
    """Options of the engine. Those without a value are Dynamo's own."""

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
        help="engine of the workers, of pools that name none: an engine of tokenbench that Dynamo "
        "has workers for (vllm, sglang, trtllm), or mocker, Dynamo's simulation without a model",
    )
    worker_options: str = option(
        default="",
        help="options of that engine, KEY=VALUE with commas between; in a suite, pools have their "
        "own",
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
        help="where processes find each other: file, in a folder that all of them see; etcd, a "
        "server that is started with them",
    )
    etcd: str = option(
        default="etcd",
        identity=False,
        help="program of etcd, for discovery=etcd",
        needs="discovery=etcd",
    )
    request_plane: str = option(
        default="tcp", choices=REQUEST_PLANES, help="how requests get from the frontend to workers"
    )
    nats_url: str | None = option(
        default=None,
        identity=False,
        help="a NATS server that runs already, nats://HOST:PORT",
        needs="request_plane=nats",
        check=_nats,
    )

    speedup: float | None = option(
        default=None,
        minimum=0,
        help="mocker: how much faster than its simulated times it answers; 0: at once",
        needs="worker=mocker",
    )
    startup_s: float | None = option(
        default=None,
        minimum=0,
        unit="s",
        help="mocker: simulated time of the start",
        needs="worker=mocker",
    )

    def __attrs_post_init__(self) -> None:
        if self.request_plane == "nats" and self.nats_url is None:
            raise ValueError("request_plane=nats needs nats_url=nats://HOST:PORT")
        if self.worker == MOCKER and self.worker_options:
            raise ValueError("worker_options: the mocker has no options of an engine")
        if "block_size" in self.worker_values() and self.block_size is not None:
            raise ValueError("block_size: worker_options has one, too")

    def worker_values(self) -> dict[str, Any]:
        """`worker_options` by name."""
        return named_values(self.worker_options, "worker_options")
