"""Prefill and decode apart: the server in front of them, `trtllm-serve disaggregated`.

Its file names hosts and ports (disagg_utils.py, `extract_disagg_cfg`).
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    FileSpec,
    FrozenMap,
    Layout,
    ProcessSpec,
    UsageError,
    check_own_pools,
    given_options,
)

from .command import MODULE
from .grammar import grammar
from .options import TrtllmOptions

ROUTER = "router"
_FILE = "disaggregated.yaml"
# A request that takes longer is answered with an error; the default is three minutes.
_REQUEST_TIMEOUT_S = 7200


def router(python: str, layout: Layout, options: TrtllmOptions) -> ProcessSpec:
    """It asks a prefill server for the first token, then a decode server for the rest."""
    content: dict[str, Any] = {
        "hostname": "{host}",
        "port": "{port:http}",
        # A request that is sent again would be measured as one that took longer.
        "max_retries": 0,
        "context_servers": _servers(layout, PREFILL),
        "generation_servers": _servers(layout, DECODE),
    }
    return ProcessSpec(
        role=ROUTER,
        argv=(python, "-m", MODULE, "disaggregated"),
        flags=FrozenMap(
            {
                "--config_file": f"{{file:{_FILE}}}",
                "--request_timeout": _REQUEST_TIMEOUT_S,
                "--server_start_timeout": round(options.start_timeout_s),
            }
        ),
        grammar=grammar("disaggregated"),
        environment=FrozenMap(
            {
                "TRTLLM_NO_USAGE_STATS": "1",
                # Lost connections are otherwise tried again whatever max_retries says
                # (serve/openai_client.py@00cc02a).
                "TRTLLM_DISAGG_NO_RETRY": "1",
                "PYTHONSAFEPATH": "1",
            }
        ),
        files=(FileSpec(name=_FILE, content=FrozenMap(content)),),
        after=tuple(pool.key for pool in layout.pools),
        ready="http://{host}:{port:http}/health",
    )


def _servers(layout: Layout, role: str) -> FrozenMap[Any]:
    places = [f"{p.key}.{n}" for p in layout.of_role(role) for n in range(p.replicas)]
    urls = tuple(f"{{{place}.host}}:{{{place}.port:http}}" for place in places)
    return FrozenMap({"num_instances": len(urls), "urls": urls})


def check_pools(layout: Layout) -> None:
    """Check that TensorRT-LLM serves these pools itself.

    Raises:
        UsageError: another engine would be needed.
    """
    check_own_pools(layout, "trtllm")
    servers = sum(pool.replicas for pool in layout.pools)
    if servers > 1 and not layout.disaggregated:
        raise UsageError(
            f"{servers} replicas of TensorRT-LLM need a router in front of them",
            hint="use attention_dp for several ranks behind one server, or --engine dynamo",
        )


def check_used(layout: Layout, options: TrtllmOptions) -> None:
    """Check that what is asked for pools and for attention DP has these.

    Raises:
        UsageError: nothing would use an option.
    """
    if not any(pool.role in (PREFILL, DECODE) for pool in layout.pools):
        for name in given_options(options, "kv_connector"):
            raise UsageError(
                f"{name}: there are no pools for prefill and decode, so nothing would use it",
                hint="leave it out",
            )
    if all(pool.topology.attention_dp == 1 for pool in layout.pools):
        for name in given_options(options, "attention_dp_balance"):
            raise UsageError(
                f"{name}: attention DP is off, so nothing would use it",
                hint="leave it out, or use attention_dp=N",
            )
