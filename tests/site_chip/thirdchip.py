"""A third party's chip with every field of a SKU, and an engine that runs on nothing else."""

from collections.abc import Sequence

from tokenbench import api

_PRICE_LIST = "third's price list"

X1 = api.Sku(
    name="third-x1",
    label="Third X1",
    vendor="third",
    source="https://third.example/x1.pdf",
    date="2026-10-01",
    aliases=("third x1 oam",),
    architecture="Third Wave",
    memory_bytes=64 << 30,
    memory_type="HBM3",
    memory_bandwidth_bytes_s=2e12,
    dense_flops=api.FrozenMap({"fp8": 1e15, "int8": 1e15}),
    precisions=("fp8", "int8", "bf16"),
    tdp_w=500.0,
    scale_up_link="ThirdLink",
    scale_up_size=16,
    scale_up_bandwidth_bytes_s=200e9,
    scale_out_link="Ethernet",
    scale_out_bandwidth_bytes_s=25e9,
    accelerators_per_host=8,
    host_link="PCIe 5.0 x16",
    host_link_bandwidth_bytes_s=64e9,
    costs=(
        api.CostSet(
            version="2026-04",
            source=_PRICE_LIST,
            date="2026-04-01",
            all_in_w=900.0,
            usd_per_hour=api.FrozenMap(hyperscaler=1.0, neocloud=1.25, rent_3yr=1.5),
        ),
        api.CostSet(
            version="2026-10",
            source=_PRICE_LIST,
            date="2026-10-01",
            usd_per_hour=api.FrozenMap(rent_3yr=2.0),
        ),
    ),
    sources=api.FrozenMap({"tdp_w": api.Source("third's OAM manual, page 12", "2026-09-30")}),
)


class ThirdChip(api.Hardware):
    def catalogue(self) -> Sequence[api.Sku]:
        return (X1,)

    def program(self) -> api.NodeProgram:
        return api.NodeProgram(module="thirdchip_node")


class ThirdEngine(api.Engine):
    def plan(self, request: api.EngineRequest) -> api.LaunchPlan:
        process = api.ProcessSpec(argv=("third-serve",), accelerators=request.layout.accelerators)
        return api.LaunchPlan(processes=(process,))

    def dialect(self, request: api.EngineRequest) -> api.Dialect:
        return api.Dialect(codecs=(api.COMPLETIONS,), ignore_eos=True)


@api.hookimpl
def bench_register_hardware() -> list[api.HardwareSpec]:
    return [api.HardwareSpec(name="thirdchip", summary="X1", factory=lambda *_: ThirdChip())]


@api.hookimpl
def bench_register_engines() -> list[api.EngineSpec]:
    needs = api.EngineCapabilities(hardware=("thirdchip",), axes=("tp",))
    return [
        api.EngineSpec(
            name="thirdengine",
            summary="runs on X1",
            factory=lambda *_: ThirdEngine(),
            capabilities=needs,
        )
    ]


@api.hookimpl
def bench_amend_launch(request: api.AmendRequest, plan: api.LaunchPlan) -> api.Amendment:
    """For every engine, so that a test sees whether this module's hooks are called."""
    return api.Amendment(
        reason="a chip of ours",
        environment=api.FrozenMap({"server": api.FrozenMap({"THIRD": "1"})}),
    )
