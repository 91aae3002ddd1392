"""What engines need on AMD GPUs, against what they read (captured/engines.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_amd import environment
from tokenbench_hardware_amd.plugin import bench_amend_launch, bench_use_options

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


def request(*pools: Pool, kind: str = "amd") -> EngineRequest:
    """A request for these pools."""
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind=kind, sku="mi355x", count=8),
        layout=Layout(pools=pools or (Pool(),)),
        needs=ServingNeeds(),
    )


class TestKit(AmendmentKit):
    name = "amd"
    amends = ("vllm", "sglang")
    requests = (request(),)


def amended(
    engine: str,
    *pools: Pool,
    kind: str = "amd",
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


@pytest.mark.parametrize(
    ("engine", "variable"), [("vllm", "VLLM_ROCM_USE_AITER"), ("sglang", "SGLANG_USE_AITER")]
)
def test_aiter(engine: str, variable: str) -> None:
    """On, because the engine leaves it off; a recipe may switch it off, and so may the user."""
    found = amended(engine)
    assert found is not None and found.recipes_win
    assert dict(found.environment) == {"server": {variable: "1"}}
    assert ENGINES[engine]["variables"][variable] in ("False", "EnvBool(False)")
    assert amended(engine, aiter=False) is None


@pytest.mark.parametrize(
    ("engine", "variable"),
    [
        ("vllm", "VLLM_ROCM_QUICK_REDUCE_QUANTIZATION"),
        ("sglang", "ROCM_QUICK_REDUCE_QUANTIZATION"),
        ("atom", "AITER_QUICK_REDUCE_QUANTIZATION"),
    ],
)
def test_sums_in_fewer_bits(engine: str, variable: str) -> None:
    """Only where asked for, and where several GPUs have something to sum."""
    assert variable not in variables(engine)
    assert variables(engine, quick_reduce="int4", aiter=False) == {variable: "INT4"}
    assert not variables(engine, quick_reduce="int4", aiter=False, accelerators=1)
    assert engine == "atom" or variable in ENGINES[engine]["variables"]


def test_several_hosts() -> None:
    """Interface and adapters of RCCL, of replicas over several hosts."""
    given = {"interface": "eth0", "adapters": ("ionic_0", "ionic_1"), "aiter": False}
    assert variables("vllm", **given) == {}
    assert variables("vllm", ranks=2, **given) == {
        "NCCL_SOCKET_IFNAME": "eth0",
        "GLOO_SOCKET_IFNAME": "eth0",
        "NCCL_IB_HCA": "ionic_0,ionic_1",
    }


def test_old_firmware() -> None:
    """Scratch memory that the firmware cannot reclaim is kept."""
    assert variables("atom", scratch_reclaim=False) == {"HSA_NO_SCRATCH_RECLAIM": "1"}


def test_whose_processes() -> None:
    """Of pools on AMD GPUs, by the engine of each worker; not on other hardware, nor the router."""
    other = HardwareFacts(kind="nvidia", sku="h200")
    pools = (Pool(role="prefill"), Pool(role="decode", hardware=other))
    owned = {"dynamo": ("router",), "vllm": ("prefill", "decode")}
    found = amended("dynamo", *pools, owned=owned)
    assert found is not None
    assert dict(found.environment) == {"prefill": {"VLLM_ROCM_USE_AITER": "1"}}
    assert amended("vllm", kind="nvidia") is None
    assert amended("vllm", accelerators=0) is None


def test_each_variable_has_a_reason() -> None:
    """Of all engines, with all options; shown by ``bench plan --explain``."""
    given = {"quick_reduce": "int4", "scratch_reclaim": False, "interface": "eth0"}
    shown: set[str] = set()
    for engine in ("vllm", "sglang", "atom"):
        found = amended(engine, ranks=2, adapters=("mlx5_0",), **given)
        assert found is not None
        assert {*found.reasons} == {*found.environment["server"]}
        shown |= {*found.reasons}
    assert shown == {*environment.REASONS}
