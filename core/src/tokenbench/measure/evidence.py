"""What the checks of one repeat look at."""

from __future__ import annotations

import attrs

from tokenbench.api import Counters
from tokenbench.load.records import PhaseSummary

from .arrays import Rows
from .repeat import Metrics, Window


@attrs.frozen(kw_only=True, eq=False)
class Evidence:
    """One repeat: raw data, its metrics, and two scrapes of the engine's counters around it.

    `caching_asked`: the protocol allows prefix caching. `template_tokens`: what the chat template
    adds to each prompt, None where nobody counted it. `accelerated`: telemetry of accelerators is
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
    template_tokens: int | None = None
    clock_of_peers: float | None = None
