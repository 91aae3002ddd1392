"""The engine: one word server, or servers for prefill and decode behind a router."""

import sys
from collections.abc import Sequence

from tokenbench import api


class TinyPools(api.Engine):
    def plan(self, request: api.EngineRequest) -> api.LaunchPlan:
        pools = request.layout.pools
        servers = request.layout.each(lambda pool: _process(pool.key, {}, pool))
        if not request.layout.disaggregated:
            return api.LaunchPlan(
                processes=servers, endpoints=(_endpoint(api.SERVER),), start_timeout_s=30
            )
        urls = {role: tuple(_urls(request.layout, role)) for role in (api.PREFILL, api.DECODE)}
        router = _process(api.ROUTER, {"--prefill": urls["prefill"], "--decode": urls["decode"]})
        return api.LaunchPlan(
            processes=(*servers, router),
            endpoints=(_endpoint(api.ROUTER), *(_endpoint(pool.key) for pool in pools)),
            start_timeout_s=30,
        )

    def dialect(self, request: api.EngineRequest) -> api.Dialect:
        return api.Dialect(codecs=(api.COMPLETIONS,), ignore_eos=True, done_event=True)

    def version(self, server: api.ServerClient) -> str:
        return server.get("/version").text

    def counters(self, pages: Sequence[api.MetricsPage]) -> api.Counters:
        page = api.merge_pages(pages)
        # Prefill and decode both count a request.
        answering = api.merge_pages([one for one in pages if one.role != api.PREFILL] or pages)
        return api.Counters(
            prompt_tokens=page.sum("tiny_prompt_tokens"),
            generated_tokens=page.sum("tiny_generated_tokens"),
            requests=answering.sum("tiny_requests")
            if len(pages) > 1
            else page.sum("tiny_requests"),
        )


def _process(
    role: str, flags: dict[str, api.FlagValue], pool: api.Pool | None = None
) -> api.ProcessSpec:
    return api.ProcessSpec(
        role=role,
        argv=(sys.executable, "-P", "-m", "tinypools.server"),
        flags={"--host": "{host}", "--port": "{port:http}", **flags},
        replicas=pool.replicas if pool else 1,
        ready="http://{host}:{port:http}/health",
        after=() if pool else (api.PREFILL, api.DECODE),
    )


def _urls(layout: api.Layout, role: str) -> list[str]:
    """Of every process of the pools of a role, as the router reaches them."""
    return [api.server_url(place) for pool in layout.of_role(role) for place in pool.places]


def _endpoint(role: str) -> api.EndpointSpec:
    """With a process's own symbols: one of every process of the role."""
    return api.EndpointSpec(role=role, url=api.server_url())


@api.hookimpl
def bench_register_engines() -> list[api.EngineSpec]:
    return [
        api.EngineSpec(
            name="tinypools",
            summary="a word server with prefill and decode pools",
            factory=lambda _options, _context: TinyPools(),
            capabilities=api.EngineCapabilities(
                roles=(api.SERVER, api.PREFILL, api.DECODE), counters=True
            ),
        )
    ]
