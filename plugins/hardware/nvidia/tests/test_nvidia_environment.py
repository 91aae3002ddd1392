"""What engines need on NVIDIA GPUs, against what they read (captured/engines.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_nvidia import environment
from tokenbench_hardware_nvidia.plugin import bench_amend_launch, bench_use_options

from tokenbench.api import (
    Amendment,
    AmendRequest,
    Architecture,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    ProcessSpec,
    ServingNeeds,
)
from tokenbench_testing import AmendmentKit

ENGINES = json.loads((Path(__file__).parent / "captured/engines.json").read_text())


def request(*pools: Pool, kind: str = "nvidia") -> EngineRequest:
    """A request for these pools."""
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind=kind, sku="h200", count=8),
        layout=Layout(pools=pools or (Pool(),)),
        needs=ServingNeeds(),
    )


class TestKit(AmendmentKit):
    name = "nvidia"
    amends = ("trtllm",)
    requests = (request(),)


def amended(
    engine: str,
    *pools: Pool,
    kind: str = "nvidia",
    ranks: int = 1,
    accelerators: int = 8,
    flags: dict[str, Any] | None = None,
    owned: dict[str, tuple[str, ...]] | None = None,
    **options: Any,
) -> Amendment | None:
    """The amendment of a plan with one process for each pool, and a router."""
    asked = request(*pools, kind=kind)
    servers = tuple(
        ProcessSpec(
            role=pool.key,
            argv=("serve",),
            flags=FrozenMap(flags or {}),
            ranks=ranks,
            accelerators=accelerators,
        )
        for pool in asked.layout.pools
    )
    plan = LaunchPlan(processes=(*servers, ProcessSpec(role="router", argv=("route",))))
    return bench_amend_launch(
        AmendRequest(engine=engine, request=asked, roles=FrozenMap(owned or {})),
        plan,
        bench_use_options()(**options),
    )


def variables(*args: Any, **options: Any) -> dict[str, str]:
    """Variables of the server."""
    found = amended(*args, **options)
    return {} if found is None else dict(found.environment["server"])


def test_tensorrt_llm() -> None:
    """No pauses for garbage, no order between graphs and other calls; each can be switched off."""
    gc = {"TRTLLM_SERVER_DISABLE_GC": "1", "TRTLLM_WORKER_DISABLE_GC": "1"}
    assert variables("trtllm") == {**gc, "NCCL_GRAPH_MIXING_SUPPORT": "0"}
    assert variables("trtllm", accelerators=1) == gc
    assert variables("trtllm", garbage_collection=True, graph_mixing=True) == {}
    found = amended("trtllm")
    assert found is not None and found.recipes_win


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_engines_that_set_what_they_need(engine: str) -> None:
    """Nothing on one host."""
    assert amended(engine) is None


def test_several_hosts() -> None:
    """Interface and adapters, of NVSHMEM too where DeepEP sends tokens to experts."""
    given = {"interface": "eth0", "adapters": ("mlx5_0", "mlx5_1")}
    nccl = {
        "NCCL_SOCKET_IFNAME": "eth0",
        "GLOO_SOCKET_IFNAME": "eth0",
        "NCCL_IB_HCA": "mlx5_0,mlx5_1",
    }
    assert variables("vllm", **given) == {}
    assert variables("vllm", ranks=2, **given) == nccl
    for flags in ({"--all2all-backend": "deepep_low_latency"}, {"--moe-a2a-backend": "deepep"}):
        assert variables("vllm", ranks=2, flags=flags, **given) == {
            **nccl,
            "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME": "eth0",
            "NVSHMEM_HCA_LIST": "mlx5_0,mlx5_1",
        }


def test_whose_processes() -> None:
    """Of pools on NVIDIA GPUs, by the engine of each worker; not the router."""
    other = HardwareFacts(kind="amd", sku="mi355x")
    pools = (Pool(role="prefill"), Pool(role="decode", hardware=other))
    owned = {"dynamo": ("router",), "trtllm": ("prefill", "decode")}
    found = amended("dynamo", *pools, owned=owned)
    assert found is not None and {*found.environment} == {"prefill"}
    assert amended("trtllm", kind="cpu") is None


def test_each_variable_has_a_reason() -> None:
    """With all options; shown by ``bench plan --explain``."""
    flags = {"--moe-a2a-backend": "deepep"}
    found = amended("trtllm", ranks=2, flags=flags, interface="eth0", adapters=("mlx5_0",))
    assert found is not None
    assert {*found.reasons} == {*found.environment["server"]} == {*environment.REASONS}


def test_what_sglang_sets_itself() -> None:
    """Its variables for racks and kernels have defaults of its own: nothing is set over them."""
    assert not {*ENGINES["sglang"]["variables"]} & {*environment.REASONS}
