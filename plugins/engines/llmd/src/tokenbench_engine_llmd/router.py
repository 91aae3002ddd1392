"""The endpoint picker (EPP), which chooses workers, and the sidecar of each decode worker, which
sends a prompt to the chosen prefill worker first.

Facts: llm-d-router v0.10.0 (2026-08-17), docs/discovery.md, docs/disaggregation.md,
deploy/config/pd-epp-config.yaml and the sources of its plugins, read 2026-12-01. Without
Kubernetes, the endpoint picker reads the workers' addresses from a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    EngineRequest,
    FileSpec,
    FlagValue,
    FrozenMap,
    Pool,
    ProcessSpec,
    freeze,
)

from .grammar import EPP, SIDECAR, grammar
from .options import DECIDERS, LlmdOptions

_CONFIG, _ENDPOINTS = "epp.yaml", "endpoints.yaml"
# pkg/epp/framework/plugins/scheduling/filter/bylabel/roles.go.
_LABEL = "llm-d.ai/role"
_NON_CACHED = 16
_DISCOVERY, _PREFIX = "file-discovery", "prefix-cache-scorer"
_FILTERS = {PREFILL: "prefill-filter", DECODE: "decode-filter"}
_NAME = "bench"


def sidecar_of(pool: Pool) -> str:
    """The role of the sidecars of a decode pool."""
    return f"{pool.key}-sidecar"


def sidecar(pool: Pool, request: EngineRequest, options: LlmdOptions) -> ProcessSpec:
    """A sidecar on the host of each decode worker, which it reaches over localhost."""
    return ProcessSpec(
        role=sidecar_of(pool),
        argv=(options.sidecar,),
        flags=FrozenMap(
            {
                "--port": "{port:http}",
                "--model-server-port": "{beside.port:http}",
                "--kv-connector": "nixlv2",
                "--secure-proxy": False,
                "--max-idle-conns-per-host": request.needs.concurrency,
            }
        ),
        grammar=grammar(SIDECAR),
        replicas=pool.replicas,
        beside=pool.key,
        # Its /health is its own; this page is the server's.
        ready="http://{host}:{port:http}/v1/models",
    )


def endpoint_picker(request: EngineRequest, options: LlmdOptions) -> ProcessSpec:
    """The EPP, which reads its plugins and the workers' addresses from files."""
    flags: dict[str, FlagValue] = {
        "--pool-name": _NAME,
        "--pool-namespace": _NAME,
        "--config-file": f"{{file:{_CONFIG}}}",
        "--grpc-port": "{port:grpc}",
        "--grpc-health-port": "{port:health}",
        "--metrics-port": "{port:metrics}",
        # Envoy is on the same network; Kubernetes' tokens are not.
        "--secure-serving": False,
        "--metrics-endpoint-auth": False,
        "--enable-pprof": False,
        "--tracing": False,
    }
    return ProcessSpec(
        role=EPP,
        argv=(options.epp,),
        flags=FrozenMap(flags),
        grammar=grammar(EPP),
        files=(
            FileSpec(name=_CONFIG, content=freeze(_config(request, options))),
            FileSpec(name=_ENDPOINTS, content=freeze({"endpoints": list(_workers(request))})),
        ),
        ports=("grpc", "health", "metrics"),
        after=tuple(map(_front, request.layout.pools)),
        # It listens after it has read the addresses.
        ready="tcp://{host}:{port:grpc}",
    )


def _front(pool: Pool) -> str:
    """The role that requests for a pool are sent to."""
    return sidecar_of(pool) if pool.role == DECODE else pool.key


def _workers(request: EngineRequest) -> Iterator[dict[str, Any]]:
    for pool in request.layout.pools:
        for index in range(pool.replicas):
            place = f"{_front(pool)}.{index}"
            yield {
                "name": f"{pool.key}-{index}",
                "namespace": _NAME,
                "address": f"{{{place}.host}}",
                "port": f"{{{place}.port:http}}",
                **({"labels": {_LABEL: pool.role}} if pool.role in _FILTERS else {}),
            }


def _config(request: EngineRequest, options: LlmdOptions) -> dict[str, Any]:
    """The picker's plugins, and a profile for each role that says which of them choose its
    workers.
    """
    disaggregated = request.layout.disaggregated
    scorers = dict.fromkeys(options.scorers, 1.0)
    plugins: list[dict[str, Any]] = [
        {"type": _DISCOVERY, "parameters": {"path": f"{{file:{_ENDPOINTS}}}"}},
        *({"type": name} for name in scorers),
        {"type": options.picker},
    ]
    if request.needs.prefix_caching:
        plugins += [{"type": "approx-prefix-cache-producer"}, {"type": _PREFIX}]
        scorers[_PREFIX] = 2.0
    if disaggregated:
        plugins += [{"type": name} for name in _FILTERS.values()]
        plugins += _deciding(options)
    else:
        plugins.append({"type": "single-profile-handler"})
    roles = _FILTERS if disaggregated else {"default": None}
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": [
            {
                "name": role,
                "plugins": [
                    *([{"pluginRef": name}] if name is not None else []),
                    {"pluginRef": options.picker},
                    *({"pluginRef": scorer, "weight": w} for scorer, w in scorers.items()),
                ],
            }
            for role, name in roles.items()
        ],
        "dataLayer": {"discovery": {"pluginRef": _DISCOVERY}},
    }


def _deciding(options: LlmdOptions) -> list[dict[str, Any]]:
    decider: dict[str, Any] = {"type": DECIDERS[options.decider]}
    if options.decider == "prefix":
        decider["parameters"] = {"nonCachedTokens": options.non_cached_tokens or _NON_CACHED}
    handler = {
        "type": "disagg-profile-handler",
        "parameters": {"deciders": {"prefill": decider["type"]}},
    }
    return [decider, handler]
