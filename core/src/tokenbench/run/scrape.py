"""Reads the metrics pages of a deployment once."""

from __future__ import annotations

import time

import attrs

from tokenbench.api import Counters, Endpoint, Engine, Layout, MetricsPage, parse_metrics
from tokenbench.launch.control import ControlClient


@attrs.frozen(kw_only=True)
class ProcessCounters:
    """The counters of one process, from its own metrics page at `endpoint`."""

    role: str
    endpoint: Endpoint
    counters: Counters


@attrs.frozen(kw_only=True)
class Scrape:
    """An engine's counters; None if it has none, or if they could not be read (`error`).

    `t_ns`: when it began, on the monotonic clock. `processes`: the same by role and replica.
    """

    t_ns: int = 0
    counters: Counters | None = None
    processes: tuple[ProcessCounters, ...] = ()
    error: str | None = None


def scrape(engine: Engine, control: ControlClient, layout: Layout) -> Scrape:
    """Read the metrics pages of all endpoints that have one."""
    began_ns = time.monotonic_ns()
    pages: list[MetricsPage] = []
    served: list[Endpoint] = []
    engines = {pool.key: pool.engine for pool in layout.pools}
    for number, endpoint in enumerate(control.endpoints):
        if endpoint.metrics_url is None:
            continue
        path = endpoint.metrics_url.removeprefix(endpoint.url.rstrip("/"))
        try:
            reply = control.get(path, endpoint=number)
        except ConnectionError as error:
            return Scrape(error=f"{endpoint.metrics_url} does not answer: {error}")
        if reply.status != 200:
            return Scrape(error=f"{endpoint.metrics_url} answers with status {reply.status}")
        page = parse_metrics(reply.text, role=layout.role_of(endpoint.role), index=endpoint.index)
        named = engines.get(endpoint.role)
        pages.append(attrs.evolve(page, pool=endpoint.role, engine=named, rank=endpoint.rank))
        served.append(endpoint)
    if not pages:
        return Scrape()
    counters = engine.counters(tuple(pages))
    # With one page, these are already the counters of one process.
    alone = [counters] if len(pages) == 1 else [engine.counters((page,)) for page in pages]
    return Scrape(
        t_ns=began_ns,
        counters=counters,
        processes=tuple(
            ProcessCounters(role=page.role, endpoint=endpoint, counters=own)
            for page, endpoint, own in zip(pages, served, alone, strict=True)
        ),
    )
