"""What the checks of one repeat look at, and how much of it may be chance."""

from __future__ import annotations

import attrs
import numpy as np

from tokenbench.api import Counters
from tokenbench.load.records import ABSENT, PhaseSummary, Status

from .arrays import NS_PER_S, Floats, Ints, Rows
from .metrics import Metrics, Window


@attrs.frozen(kw_only=True, eq=False)
class Evidence:
    """One repeat: raw data, its metrics, and two scrapes of the engine's counters around it.

    `caching_asked`: the protocol allows prefix caching. `accelerated`: telemetry of accelerators is
    expected. `throttled_share`, `longest_gap_s` and `clock_of_peers` (the slowest device's median
    clock over the median of all devices') come from telemetry, None without.
    """

    records: Rows
    chunks: Rows
    phase: PhaseSummary
    metrics: Metrics
    steady: Window
    before: Counters | None = None
    after: Counters | None = None
    caching_asked: bool = False
    accelerated: bool = False
    throttled_share: float | None = None
    longest_gap_s: float | None = None
    power_limited: bool | None = None
    clock_of_peers: float | None = None

    @property
    def ok(self) -> Rows:
        """Turns that succeeded and have a number of tokens."""
        fine: Rows = self.records[
            (self.records["status"] == Status.OK) & (self.records["n_out"] != ABSENT)
        ]
        return fine

    @property
    def thinks(self) -> bool:
        """Whether any turn was scheduled later than the end that made it possible."""
        ends = self.records["end_ns"]
        scheduled = self.records["scheduled_ns"]
        after = scheduled[scheduled > ends.min(initial=np.iinfo(np.int64).max)]
        return bool((~np.isin(after, ends)).any())

    def generations(self, window: Window | None = None) -> float:
        """How many requests of median length follow each other in the steady state."""
        seconds = (window or self.steady).seconds or 0.0
        e2e_s = self.metrics.get("e2e_s.p50")
        return seconds / e2e_s if e2e_s else 0.0


def spread_evenly(seen: Evidence, edges: Ints) -> Floats:
    """Output tokens in each span between `edges`, each answer's spread over its request's time.

    Unlike tokens by arrival this does not depend on whether requests run in step, all of them
    waiting for a first token at the same time.
    """
    ok = seen.ok
    return _shares(ok["sent_first_ns"], ok["last_ns"], edges).T @ ok["n_out"].astype(np.float64)


def chance(seen: Evidence, edges: Ints) -> Floats:
    """Standard deviation of the output tokens in each span between `edges`, as chance has it.

    Open loop: sessions are lumps of tokens that come at random; the variance of a renewal-reward
    process, with the dispersion that the arrivals had (1 is Poisson's, 0 a clock's). So are turns
    in a closed loop with think time. Closed loop without: each slot goes from request to request,
    and what varies is a request's tokens against its time; the variance is that of the tokens
    beyond the mean rate (Smith 1955, cumulative processes).
    """
    ok = seen.ok
    if not len(ok):
        return np.zeros(len(edges) - 1)
    tokens = ok["n_out"].astype(np.float64)
    if seen.phase.concurrency is None or seen.thinks:
        shares = _shares(ok["sent_first_ns"], ok["last_ns"], edges) * tokens[:, None]
        if seen.phase.concurrency is not None:
            return np.asarray(np.sqrt((shares**2).sum(axis=0)), np.float64)
        session = np.unique(ok["session"], return_inverse=True)[1]
        lumps = np.zeros((int(session.max()) + 1, len(edges) - 1))
        np.add.at(lumps, session, shares)
        spread = _dispersion(seen, np.asarray(np.bincount(session, tokens), np.float64))
        return np.asarray(np.sqrt((lumps**2).sum(axis=0) * spread), np.float64)
    shares = _shares(ok["scheduled_ns"], ok["end_ns"], edges)
    cycle = (ok["end_ns"] - ok["scheduled_ns"])[:, None] / NS_PER_S
    seconds = (shares * cycle).sum(axis=0)
    rate = (shares * tokens[:, None]).sum(axis=0) / np.where(seconds > 0, seconds, 1.0)
    beyond = shares * (tokens[:, None] - rate * cycle)
    return np.asarray(np.sqrt((beyond**2).sum(axis=0)), np.float64)


def _shares(begin: Ints, end: Ints, edges: Ints) -> Floats:
    """The share of each time from `begin` to `end` that lies in each span; rows are times."""
    low = np.maximum(begin[:, None], edges[None, :-1])
    high = np.minimum(end[:, None], edges[None, 1:])
    whole = np.maximum(end - begin, 1)[:, None]
    return np.asarray(np.maximum(high - low, 0) / whole, np.float64)


def _dispersion(seen: Evidence, tokens: Floats) -> float:
    """Squared variation of the gaps between arrivals and of the lumps, over that of Poisson's."""
    first = seen.records["turn"] == 0
    gaps = np.diff(np.sort(seen.records["scheduled_ns"][first])).astype(np.float64)
    if len(gaps) < 2 or not gaps.mean() or not tokens.mean():
        return 1.0
    lumps = float(tokens.var() / tokens.mean() ** 2)
    return (float(gaps.var() / gaps.mean() ** 2) + lumps) / (1.0 + lumps)
