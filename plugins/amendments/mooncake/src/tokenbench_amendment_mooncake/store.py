"""The store's own processes, and its addresses.

Facts: Mooncake 0.3.13.post1, `mooncake_master --help`, `mooncake/http_metadata_server.py` and
`mooncake/mooncake_config.py` of its package, read and run 2026-12-01.
"""

from __future__ import annotations

import sys
from pathlib import PurePath

from tokenbench.api import FlagValue, FrozenMap, LaunchPlan, ProcessSpec

from .options import MooncakeOptions

MASTER, METADATA = "mooncake-master", "mooncake-metadata"
MASTER_ADDRESS = f"{{{MASTER}.0.host}}:{{{MASTER}.0.port:rpc}}"
_HANDSHAKE = "P2PHANDSHAKE"
_METADATA_URL = f"http://{{{METADATA}.0.host}}:{{{METADATA}.0.port:http}}/metadata"
GIB = 1 << 30
# Clients of both engines take 4 GiB by default (vLLM 0.32, distributed/mooncake_store.py; SGLang
# 0.5.23, environ.py). The Python client of Mooncake itself takes 3.1 GiB.
_SEGMENT_GIB = 4.0


def metadata_address(options: MooncakeOptions) -> str:
    """The metadata server that clients connect to."""
    return _METADATA_URL if options.metadata == "http" else _HANDSHAKE


def segment_bytes(options: MooncakeOptions) -> int:
    """Memory that a client gives to the store."""
    return int((options.segment_gib or _SEGMENT_GIB) * GIB)


def processes(plan: LaunchPlan, options: MooncakeOptions) -> tuple[ProcessSpec, ...]:
    """The master and, with `metadata=http`, the metadata service."""
    python = options.python or _interpreter(plan)
    master = ProcessSpec(
        role=MASTER,
        argv=(python, "-m", "mooncake.cli"),
        flags=FrozenMap[FlagValue](
            {
                "--rpc_address": "{host}",
                "--rpc_port": "{port:rpc}",
                "--metrics_host": "{host}",
                "--metrics_port": "{port:metrics}",
            }
        ),
        ports=("rpc", "metrics"),
        ready="http://{host}:{port:metrics}/health",
    )
    if options.metadata != "http":
        return (master,)
    # The master has a metadata service, too (--enable_http_metadata_server), which listens on all
    # addresses whatever --http_metadata_server_host says (0.3.13.post1).
    service = ProcessSpec(
        role=METADATA,
        argv=(python, "-m", "mooncake.http_metadata_server"),
        flags=FrozenMap[FlagValue]({"--host": "{host}", "--port": "{port:http}"}),
        ready="tcp://{host}:{port:http}",
    )
    return (master, service)


def _interpreter(plan: LaunchPlan) -> str:
    """The interpreter of the engine's first Python process: its environment also has Mooncake."""
    for process in plan.processes:
        if PurePath(process.argv[0]).name.startswith("python"):
            return process.argv[0]
    return sys.executable


def client_variables(options: MooncakeOptions) -> dict[str, str]:
    """Mooncake's own variables of a client."""
    found = {
        "MOONCAKE_MASTER": MASTER_ADDRESS,
        "MOONCAKE_TE_META_DATA_SERVER": metadata_address(options),
        "MOONCAKE_PROTOCOL": options.protocol,
        "MOONCAKE_LOCAL_HOSTNAME": "{host}",
        "MOONCAKE_GLOBAL_SEGMENT_SIZE": str(segment_bytes(options)),
    }
    if options.devices:
        found["MOONCAKE_DEVICE"] = ",".join(options.devices)
    if options.buffer_gib is not None:
        found["MOONCAKE_LOCAL_BUFFER_SIZE"] = str(int(options.buffer_gib * GIB))
    return found
