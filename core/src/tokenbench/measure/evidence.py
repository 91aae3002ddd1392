"""The data that the checks of one repeat use, and its expected statistical noise."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from tokenbench.api import Counters, Stop
from tokenbench.load.records import ABSENT, PhaseSummary, Status

from .answers import counted, without_tokens
from .arrays import NS_PER_S, Floats, Ints, Rows
from .devices import Devices
from .percentiles import Metrics
from .window import Window


@attrs.frozen(kw_only=True, eq=False)
class Evidence:
    """One repeat: records, metrics, and the engine's counters `before` and `after` it.

    `scrapes`: counters read during it. `scrape_error`: why counters could not be read.
    `prompt_form`: ``chat``, ``text`` or ``token ids``. `stop`: the rule that ends the repeat.
    `foreign_share`: CPU used by other programs on the cores of client and local engine, 0 to 1;
    `foreign_busiest`: the one that used most; `foreign_unknown`: why the share is None.

    `classes`: metrics of each class of traffic. `prefix_caching`: the workload allows it.
    `not_primed`: what the priming of the cache could not put into it. `accelerated`: the deployment
    has accelerators. `devices`: findings from telemetry; None without telemetry.
    """

    records: Rows
    chunks: Rows
    phase: PhaseSummary
    metrics: Metrics
    steady: Window
    classes: Mapping[str, Metrics] = attrs.field(factory=dict)
    before: Counters | None = None
    after: Counters | None = None
    scrape_error: str | None = None
    scrapes: tuple[Counters, ...] = ()
    prompt_form: str = "text"
    approximate_lengths: bool = False
    stop: Stop | None = None
    prefix_caching: bool = False
    not_primed: str | None = None
    foreign_share: float | None = None
    foreign_busiest: str | None = None
    foreign_unknown: str | None = None
    accelerated: bool = False
    devices: Devices | None = None

    @property
    def ok(self) -> Rows:
        """Successful turns with a known output token count; an answer without tokens counts as one
        token.
        """
        rows = counted(self.records)
        found: Rows = rows[(rows["status"] == Status.OK) & (rows["n_out"] != ABSENT)]
        return found

    @property
    def no_tokens(self) -> bool:
        """Whether the answers have no tokens."""
        return without_tokens(self.records)

    @property
    def has_think_time(self) -> bool:
        """Whether any turn was scheduled later than the end of the response that triggered it."""
        ends = self.records["end_ns"]
        scheduled = self.records["scheduled_ns"]
        after = scheduled[scheduled > ends.min(initial=np.iinfo(np.int64).max)]
        return bool((~np.isin(after, ends)).any())

    def generations(self, window: Window | None = None) -> float:
        """Length of the window (default: the steady state) over the median request time."""
        seconds = (window or self.steady).seconds or 0.0
        e2e_s = self.metrics.get("e2e_s.p50")
        return seconds / e2e_s if e2e_s else 0.0


def evenly_spread_tokens(evidence: Evidence, edges: Ints) -> Floats:
    """Output tokens in each interval between `edges`, with each response's tokens spread evenly
    over its request's time.

    Unlike a count by arrival, it does not change if requests run in step and wait for their first
    tokens at the same time.
    """
    ok = evidence.ok
    return _shares(ok["sent_first_ns"], ok["last_ns"], edges).T @ ok["n_out"].astype(np.float64)


def expected_noise(evidence: Evidence, edges: Ints) -> Floats:
    """Standard deviation of the output tokens in each interval that chance alone explains.

    Open loop: sessions are batches of tokens that arrive at random. The variance is that of a
    renewal-reward process with the observed dispersion of arrivals (1: Poisson, 0: constant). A
    closed loop with think time is treated alike, with turns instead of sessions. In a closed loop
    without think time a request always follows another, so only their tokens per time vary: the
    variance is that of the deviations from the mean rate (Smith 1955, cumulative processes).
    """
    ok = evidence.ok
    if not len(ok):
        return np.zeros(len(edges) - 1)
    tokens = ok["n_out"].astype(np.float64)
    if evidence.phase.concurrency is None or evidence.has_think_time:
        shares = _shares(ok["sent_first_ns"], ok["last_ns"], edges) * tokens[:, None]
        if evidence.phase.concurrency is not None:
            return np.asarray(np.sqrt((shares**2).sum(axis=0)), np.float64)
        session = np.unique(ok["session"], return_inverse=True)[1]
        batches = np.zeros((int(session.max()) + 1, len(edges) - 1))
        np.add.at(batches, session, shares)
        dispersion = _dispersion(evidence, np.asarray(np.bincount(session, tokens), np.float64))
        return np.asarray(np.sqrt((batches**2).sum(axis=0) * dispersion), np.float64)
    shares = _shares(ok["scheduled_ns"], ok["end_ns"], edges)
    cycle = (ok["end_ns"] - ok["scheduled_ns"])[:, None] / NS_PER_S
    seconds = (shares * cycle).sum(axis=0)
    rate = (shares * tokens[:, None]).sum(axis=0) / np.where(seconds > 0, seconds, 1.0)
    deviations = shares * (tokens[:, None] - rate * cycle)
    return np.asarray(np.sqrt((deviations**2).sum(axis=0)), np.float64)


def _shares(begin: Ints, end: Ints, edges: Ints) -> Floats:
    """Share of each time span (rows) that is in each interval between `edges` (columns)."""
    low = np.maximum(begin[:, None], edges[None, :-1])
    high = np.minimum(end[:, None], edges[None, 1:])
    whole = np.maximum(end - begin, 1)[:, None]
    return np.asarray(np.maximum(high - low, 0) / whole, np.float64)


def _dispersion(evidence: Evidence, tokens: Floats) -> float:
    """Squared variation of arrival gaps and of tokens per session, relative to Poisson arrivals."""
    first = evidence.records["turn"] == 0
    gaps = np.diff(np.sort(evidence.records["scheduled_ns"][first])).astype(np.float64)
    if len(gaps) < 2 or not gaps.mean() or not tokens.mean():
        return 1.0
    variation = float(tokens.var() / tokens.mean() ** 2)
    return (float(gaps.var() / gaps.mean() ** 2) + variation) / (1.0 + variation)
