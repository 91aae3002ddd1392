"""Flags and variables that all processes share: service discovery and transport.

Facts: Dynamo 1.6.1, its help and its environment variables (run 2026-11-30).
"""

from __future__ import annotations

from tokenbench.api import FlagValue, FrozenMap, ProcessSpec, Weights

from .options import DynamoOptions

ETCD = "etcd"
# Without a log line per request, which costs time and hides the other lines.
_LOG = ",".join(
    (
        "info",
        "request_span=warn",
        *(
            f"{module}=warn"
            for module in (
                "dynamo_llm::http::service::service_v2",
                "dynamo_llm::http::service::metrics",
                "dynamo_kv_router::scheduling::selector",
                "dynamo_runtime::pipeline::network::ingress::push_handler",
            )
        ),
    )
)
SYSTEM_PORT = "system"


def flags(options: DynamoOptions) -> dict[str, FlagValue]:
    """Flags of every process. Events always go over ZMQ: NATS would be one more server."""
    return {
        "--discovery-backend": options.discovery,
        "--request-plane": options.request_plane,
        "--event-plane": "zmq",
    }


def environment(options: DynamoOptions, weights: Weights | None) -> dict[str, str]:
    """Variables of every process."""
    found = {
        # Without these, processes use an address of the host's first network.
        "DYN_TCP_RPC_HOST": "{host}",
        "DYN_TCP_RESPONSE_STREAM_HOST": "{host}",
        "DYN_EVENT_PLANE_HOST": "{host}",
        "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
        "DYN_LOG": _LOG,
        # No file of the current folder can shadow a module.
        "PYTHONSAFEPATH": "1",
    }
    if options.discovery == "file":
        found["DYN_FILE_KV"] = "{shared}/discovery"
    else:
        found["ETCD_ENDPOINTS"] = f"http://{{{ETCD}.0.host}}:{{{ETCD}.0.port:client}}"
    if options.nats_url is not None:
        found["NATS_SERVER"] = options.nats_url
    if weights is not None and not weights.source.startswith("hub:"):
        found["HF_HUB_OFFLINE"] = "1"
    return found


def system_environment() -> dict[str, str]:
    """Variables of a worker: where it serves its metrics page. Its /health is useless: a mocker's
    reports "notready" forever.
    """
    return {"DYN_SYSTEM_HOST": "{host}", "DYN_SYSTEM_PORT": f"{{port:{SYSTEM_PORT}}}"}


def after(options: DynamoOptions) -> tuple[str, ...]:
    """Roles that start before every process."""
    return (ETCD,) if options.discovery == "etcd" else ()


def discovery_servers(options: DynamoOptions) -> tuple[ProcessSpec, ...]:
    """Etcd, if it is used. Its flags: etcd 3.4, `etcd --help`."""
    if options.discovery != "etcd":
        return ()
    client, peer = "http://{host}:{port:client}", "http://{host}:{port:peer}"
    return (
        ProcessSpec(
            role=ETCD,
            argv=(options.etcd,),
            flags=FrozenMap(
                {
                    "--data-dir": "{scratch}/etcd",
                    "--listen-client-urls": client,
                    "--advertise-client-urls": client,
                    "--listen-peer-urls": peer,
                    "--initial-advertise-peer-urls": peer,
                    "--initial-cluster": f"default={peer}",
                }
            ),
            ports=("client", "peer"),
            ready=f"{client}/health",
        ),
    )
