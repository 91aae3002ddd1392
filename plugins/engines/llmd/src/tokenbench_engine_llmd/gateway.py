"""Envoy, which asks the endpoint picker where to send each request.

Its configuration is that of llm-d-router v0.10.0, docs/discovery.md (2026-08-17); Envoy 1.40.0
accepts it (`envoy --mode validate`, 2026-12-01).
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import FileSpec, FrozenMap, ProcessSpec, freeze

from .grammar import EPP
from .options import LlmdOptions

GATEWAY = "gateway"
# Longer than any request that is measured.
_LIMIT = "86400s"
_TYPES = "type.googleapis.com/envoy.extensions"


def gateway(options: LlmdOptions) -> ProcessSpec:
    """Envoy, as in llm-d's docs/discovery.md. The EPP's header names the destination of a request.
    Its flags: Envoy 1.40.0, `envoy --help` (2026-12-01).
    """
    return ProcessSpec(
        role=GATEWAY,
        argv=(options.envoy,),
        flags=FrozenMap(
            {
                "--config-path": "{file:envoy.yaml}",
                # Separates its shared memory from that of another Envoy on the host.
                "--disable-hot-restart": True,
                "--log-level": "warning",
            }
        ),
        files=(FileSpec(name="envoy.yaml", content=freeze(_envoy())),),
        ports=("http", "admin"),
        after=(EPP,),
        ready="http://{host}:{port:admin}/ready",
    )


def _envoy() -> dict[str, Any]:
    return {
        "admin": {"address": _address("{host}", "{port:admin}")},
        "static_resources": {
            "listeners": [
                {
                    "name": "inference",
                    "address": _address("{host}", "{port:http}"),
                    "filter_chains": [{"filters": [_connections()]}],
                }
            ],
            "clusters": [_picker_cluster(), _workers_cluster()],
        },
    }


def _connections() -> dict[str, Any]:
    route = {"cluster": "workers", "timeout": _LIMIT, "idle_timeout": _LIMIT}
    everything = [{"match": {"prefix": "/"}, "route": route}]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inference",
            "route_config": {
                "name": "inference",
                "virtual_hosts": [{"name": "inference", "domains": ["*"], "routes": everything}],
            },
            "http_filters": [
                {"name": "envoy.filters.http.ext_proc", "typed_config": _asks_the_picker()},
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
                },
            ],
        },
    }


def _asks_the_picker() -> dict[str, Any]:
    return {
        "@type": f"{_TYPES}.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": EPP}, "timeout": "10s"},
        "processing_mode": {
            "request_header_mode": "SEND",
            "response_header_mode": "SEND",
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "response_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_trailer_mode": "SEND",
        },
        "message_timeout": "600s",
    }


def _picker_cluster() -> dict[str, Any]:
    options = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions"
    place = {"endpoint": {"address": _address(f"{{{EPP}.0.host}}", f"{{{EPP}.0.port:grpc}}")}}
    return {
        "name": EPP,
        "type": "STATIC",
        "typed_extension_protocol_options": {
            options.rpartition("/")[2]: {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": EPP, "endpoints": [{"lb_endpoints": [place]}]},
    }


def _workers_cluster() -> dict[str, Any]:
    most = 100_000
    limits = {f"max_{of}": most for of in ("connections", "pending_requests", "requests")}
    return {
        "name": "workers",
        "type": "ORIGINAL_DST",
        "connect_timeout": "600s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": {"thresholds": [limits]},
        "original_dst_lb_config": {
            "use_http_header": True,
            "http_header_name": "x-gateway-destination-endpoint",
        },
    }


def _address(host: str, port: str) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
