"""The limits of certification, all in one place so that a suite can set them later.

Figures: the table in the measurement definitions, version 1.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Limits:
    """Beyond `flag` a check flags, beyond `invalid` (None: never) it invalidates."""

    flag: float
    invalid: float | None = None


@attrs.frozen(kw_only=True)
class Thresholds:
    """Limits of every check; shares are of 1, times in seconds.

    A delay's limit is the larger of its share (of median TPOT or TTFT) and its floor.
    `min_requests`: below this many requests a percentile is not judged. `template_tokens_most`:
    the longest chat template that is believed without having been counted (our choice).
    `energy_counter_off`: how far a device's energy counter may be from the integral of its power
    (our choice: a counter that stands still, or counts in another unit, is far beyond it).
    `stability_noise` is the 95 % point of the studentised range of 3 means with 27 degrees of
    freedom (3.506 by scipy.stats.studentized_range, version 1.17.1).
    """

    loop_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    loop_delay_floor_s: Limits = Limits(flag=1e-3, invalid=5e-3)
    dispatch_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    dispatch_delay_floor_s: Limits = Limits(flag=1e-3, invalid=20e-3)
    client_cpu_share: Limits = Limits(flag=0.85, invalid=0.97)
    coalesced_share: Limits = Limits(flag=0.01)
    coalesced_withhold_itl: float = 0.20
    offered_load: Limits = Limits(flag=0.98, invalid=0.90)
    output_length_share: Limits = Limits(flag=0.99, invalid=0.90)
    input_length_off: Limits = Limits(flag=0.02, invalid=0.10)
    failure_share: Limits = Limits(flag=0.0, invalid=0.05)
    prefix_cache_share: Limits = Limits(flag=0.01, invalid=0.10)
    server_off: Limits = Limits(flag=0.01, invalid=0.05)
    stability_spread: Limits = Limits(flag=0.05, invalid=0.20)
    stability_min_s: float = 20.0
    stability_min_generations: float = 3.0
    stability_noise: float = 3.51
    repeats_few: Limits = Limits(flag=0.10)
    repeats_many: Limits = Limits(flag=0.05)
    repeats_many_from: int = 5
    repeat_metrics: tuple[str, ...] = ("output_tok_s.steady", "tpot_s.p50")
    slowdown_share: float = 0.01
    clock_of_peers: float = 0.7
    telemetry_gap_s: float = 3.0
    energy_counter_off: float = 0.2
    saturated_served_share: float = 0.95
    saturated_waiting_share: float = 0.5
    min_requests: int = 10
    template_tokens_most: int = 64
