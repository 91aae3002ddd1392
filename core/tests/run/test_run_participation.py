"""A server with pools is ready when prefill and decode both took part in a request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from tokenbench.api import (
    Architecture,
    Counters,
    Endpoint,
    Engine,
    EngineCapabilities,
    EngineError,
    EngineRequest,
    EngineSpec,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    Reply,
    ServingNeeds,
)
from tokenbench.launch.local import LocalLauncher
from tokenbench.launch.settings import LaunchSettings
from tokenbench.load.codecs import find_codec
from tokenbench.run.participation import idle_roles
from tokenbench.run.running_server import RunningServer
from tokenbench.run.scrape import ProcessCounters, Scrape, scrape

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pools"
LAYOUT = Layout(pools=(Pool(role="prefill"), Pool(role="decode")))


@pytest.fixture
def tinypools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The living example of an engine with pools, for this process and its servers."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    path = os.pathsep.join(filter(None, (str(EXAMPLE), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    from tinypools.plugin import TinyPools

    yield TinyPools()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinypools"]:
        monkeypatch.delitem(sys.modules, name)


def _server(engine: Any, logs: Path, *, skipped: str | None) -> RunningServer:
    """A deployment whose router sends what is for the role `skipped` to the other one."""
    request = EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(),
        hardware=HardwareFacts(kind="cpu", sku="cpu", count=2),
        layout=LAYOUT,
        needs=ServingNeeds(),
    )
    plan: LaunchPlan = engine.plan(request)
    *servers, router = plan.processes
    if skipped is not None:
        other = "decode" if skipped == "prefill" else "prefill"
        flags = {**router.flags, f"--{skipped}": router.flags[f"--{other}"]}
        router = attrs.evolve(router, flags=FrozenMap(flags))
    plan = attrs.evolve(
        plan, processes=(*servers, router), start_timeout_s=60 if skipped is None else 15
    )
    return RunningServer(
        spec=EngineSpec(
            name="tinypools",
            summary="",
            factory=lambda *_: engine,
            capabilities=EngineCapabilities(roles=("prefill", "decode"), counters=True),
        ),
        engine=engine,
        request=request,
        plan=plan,
        launcher=LocalLauncher(),
        settings=LaunchSettings(logs=logs),
        codec=lambda name: find_codec(name, None),
        interrupted=lambda: False,
        mark="synthetic acceptance",
    )


def test_ready_when_both_took_part(tinypools: Any, tmp_path: Path) -> None:
    """The first request passes through prefill and decode. An engine that does not know how its
    workers accept drafts still has the mark at its version.
    """
    with _server(tinypools, tmp_path, skipped=None) as server:
        assert (server.version or "").endswith(" (synthetic acceptance)")
        counted = {one.role: one.counters.requests for one in server.scrape().processes}
    assert counted["prefill"] == counted["decode"] == 1


@pytest.mark.parametrize("skipped", ["prefill", "decode"])
def test_never_ready_while_one_takes_no_part(tinypools: Any, tmp_path: Path, skipped: str) -> None:
    """It answers, so only the counters tell."""
    server = _server(tinypools, tmp_path, skipped=skipped)
    with pytest.raises(EngineError, match=f"no answer in which the role '{skipped}' took part"):
        server.start()
    server.stop()


def test_only_counters_that_are_there_tell() -> None:
    """A role may have none; one that appears with its first event has risen."""

    def scrape(prefill: Counters, decode: Counters) -> Scrape:
        return Scrape(
            processes=tuple(
                ProcessCounters(
                    role=role, endpoint=Endpoint(url="http://h", role=role, index=0), counters=own
                )
                for role, own in (("prefill", prefill), ("decode", decode))
            )
        )

    nothing, one = Counters(), Counters(requests=1)
    zero, tokens = Counters(requests=0), Counters(requests=0, prompt_tokens=5)
    assert idle_roles(scrape(nothing, nothing), scrape(nothing, one)) == ()
    assert idle_roles(scrape(one, zero), scrape(one, one)) == ("prefill",)
    assert idle_roles(scrape(zero, zero), scrape(tokens, zero)) == ("decode",)
    assert idle_roles(Scrape(), scrape(zero, zero)) == ()


def test_pages_name_the_engine_of_their_pool() -> None:
    """An engine that wraps others reads each page as its pool's engine."""
    layout = Layout(pools=(Pool(role="prefill", engine="inner"), Pool(role="decode")))
    seen: list[tuple[str, str | None]] = []

    class Wrapping(Engine):
        def plan(self, request: EngineRequest) -> LaunchPlan:
            raise NotImplementedError

        def counters(self, pages: Any) -> Counters:
            seen.extend((page.pool, page.engine) for page in pages)
            return Counters()

    urls = {"frontend": "http://h:1", "prefill": "http://h:2", "decode": "http://h:3"}
    control: Any = SimpleNamespace(
        endpoints=tuple(
            Endpoint(role=role, index=0, url=url, metrics_url=f"{url}/metrics")
            for role, url in urls.items()
        ),
        get=lambda path, *, endpoint: Reply(status=200, text=""),
    )
    scrape(Wrapping(), control, layout)
    assert seen[:3] == [("frontend", None), ("prefill", "inner"), ("decode", None)]
