"""The router of disaggregated prefill and decode, `trtllm-serve disaggregated`.

Its file names hosts and ports (disagg_utils.py, `extract_disagg_cfg`).
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    ROUTER,
    FileSpec,
    FlagGrammar,
    FrozenMap,
    Layout,
    ProcessSpec,
    refuse_unused,
    server_url,
)

from .command import MODULE, PACKAGE
from .options import TrtllmOptions

_FILE = "disaggregated.yaml"
# Longer requests fail; the default is three minutes.
_REQUEST_TIMEOUT_S = 7200
_ENVIRONMENT = FrozenMap(
    {
        "TRTLLM_NO_USAGE_STATS": "1",
        # Without this, lost connections are retried whatever max_retries says
        # (serve/openai_client.py@00cc02a).
        "TRTLLM_DISAGG_NO_RETRY": "1",
        "PYTHONSAFEPATH": "1",
    }
)


def router(python: str, layout: Layout, options: TrtllmOptions) -> ProcessSpec:
    """The router. A prefill server generates the first token, a decode server the rest."""
    content: dict[str, Any] = {
        "hostname": "{host}",
        "port": "{port:http}",
        # A retried request would be measured as a slow one.
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
        grammar=FlagGrammar.of_package(PACKAGE, "surface.json", key="disaggregated"),
        environment=_ENVIRONMENT,
        files=(FileSpec(name=_FILE, content=FrozenMap(content)),),
        after=layout.keys,
        ready="http://{host}:{port:http}/health",
    )


def _servers(layout: Layout, role: str) -> FrozenMap[Any]:
    places = (place for pool in layout.of_role(role) for place in pool.places)
    urls = tuple(server_url(place).removeprefix("http://") for place in places)
    return FrozenMap({"num_instances": len(urls), "urls": urls})


def check_used(layout: Layout, options: TrtllmOptions) -> None:
    """Check that options for pools and attention DP have an effect.

    Raises:
        UsageError: an option has no effect.
    """
    if not any(pool.role in (PREFILL, DECODE) for pool in layout.pools):
        because = "there are no pools for prefill and decode"
        refuse_unused(options, "kv_connector", because=because)
    if all(pool.topology.attention_dp == 1 for pool in layout.pools):
        refuse_unused(options, "attention_dp_balance", because="attention DP is off")
