"""The conformance kit. The amendment must change a plan of tinyengine on a Tiny chip."""

from tokenbench.api import Architecture, EngineRequest, HardwareFacts, Layout, ServingNeeds
from tokenbench_testing import AmendmentKit


class TestTinyWatch(AmendmentKit):
    name = "tinywatch"
    amends = ("tinyengine",)
    requests = (
        EngineRequest(
            model="tinymodel",
            served_name="tinymodel",
            weights=None,
            architecture=Architecture(),
            hardware=HardwareFacts(kind="tinychip", sku="tiny-t1"),
            layout=Layout(),
            needs=ServingNeeds(),
        ),
    )
