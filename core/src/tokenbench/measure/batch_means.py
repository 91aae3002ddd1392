"""Intervals from one or two repeats: batch means over equal blocks of the steady state.

The blocks of a repeat share its start, so the interval does not include differences between starts.
(Law, Simulation Modeling and Analysis, 5th edition, section 9.5.3.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import NS_PER_S, Bools, Floats, Ints
from .definitions import PER_ACCELERATOR, PER_ROLE
from .evidence import Evidence
from .goodput import tpot_s
from .metrics import tokens_by_chunk
from .student import t_quantile_975

BLOCKS = 10
"""Blocks per repeat."""


def relative_half_widths(repeats: Sequence[Evidence]) -> dict[str, float]:
    """Half-width of the 95 % interval over the mean, of each metric that has an interval."""
    blocks = [_blocks(evidence) for evidence in repeats]
    found = {}
    for name in blocks[0] if blocks else ():
        values = np.array([block[name] for block in blocks])
        mean = float(values.mean())
        if np.isfinite(values).all() and mean:
            found[name] = half_width(values) / abs(mean)
    found = with_derived(found)
    if "tpot_s.p50" in found:
        found["interactivity_tok_s.p50"] = found["tpot_s.p50"]
    return found


def with_derived(found: dict[str, float]) -> dict[str, float]:
    """Add throughput per accelerator, whose relative width is the same."""
    more = dict(found)
    for name in PER_ACCELERATOR:
        if f"{name}.steady" in found:
            more[f"{name}_per_accelerator.steady"] = found[f"{name}.steady"]
    for name, role in PER_ROLE:
        if f"{name}.steady" in found:
            more[f"{name}_per_{role}_accelerator.steady"] = found[f"{name}.steady"]
    return more


def half_width(values: Floats) -> float:
    """Half-width of the 95 % interval of the mean of all values; one row of blocks per repeat.

    The variance of the mean is that of independent blocks, increased if neighbours correlate. If
    two repeats differ by more than the half-width, their difference is the half-width: two values
    are too few for an interval over repeats.
    """
    repeats, blocks = values.shape
    deviations = values - values.mean(axis=1, keepdims=True)
    degrees = repeats * (blocks - 1)
    variance = float((deviations**2).sum()) / degrees * _inflation(deviations)
    width = t_quantile_975(degrees) * math.sqrt(variance / values.size)
    return max(width, float(np.ptp(values.mean(axis=1))))


def _inflation(deviations: Floats) -> float:
    """Variance of the mean of correlated blocks over that of independent ones.

    It is (1 + r) / (1 - r) for the correlation r of neighbouring blocks. The estimate of r from few
    blocks is too low by about one over their number, which is added.
    """
    total = float((deviations**2).sum())
    if not total:
        return 1.0
    blocks = deviations.shape[1]
    r = float((deviations[:, 1:] * deviations[:, :-1]).sum()) / total + 1 / blocks
    r = float(min(max(r, 0.0), 0.8))
    return (1 + r) / (1 - r)


def _blocks(evidence: Evidence) -> dict[str, Floats]:
    """Values of each metric in each block; NaN where a block has none."""
    window, ok = evidence.steady, evidence.ok
    if window.seconds is None or not len(ok):
        return dict.fromkeys(_METRICS, np.full(BLOCKS, np.nan))
    edges = np.linspace(window.start_ns, window.end_ns, BLOCKS + 1)
    seconds = window.seconds / BLOCKS
    arrived = tokens_by_chunk(ok, evidence.chunks)
    generated, _ = np.histogram(arrived.ns, edges, weights=arrived.tokens)
    known = bool((ok["n_in"] >= 0).all())
    read, _ = np.histogram(ok["first_ns"], edges, weights=ok["n_in"])
    read = read if known else np.full(BLOCKS, np.nan)
    ended, _ = np.histogram(ok["last_ns"], edges)
    inside = window.holds(ok["last_ns"])
    # The window's last nanosecond belongs to the last block.
    block = np.minimum(np.digitize(ok["last_ns"], edges) - 1, BLOCKS - 1)
    ttft = (ok["first_ns"] - ok["sent_first_ns"]) / NS_PER_S
    e2e = (ok["last_ns"] - ok["sent_first_ns"]) / NS_PER_S
    return {
        "output_tok_s.steady": generated / seconds,
        "input_tok_s.steady": read / seconds,
        "total_tok_s.steady": (generated + read) / seconds,
        "req_s.steady": ended / seconds,
        "ttft_s.p50": _medians(ttft, block, inside),
        "tpot_s.p50": _medians(tpot_s(ok), block, inside),
        "e2e_s.p50": _medians(e2e, block, inside),
    }


_METRICS = (
    "output_tok_s.steady",
    "input_tok_s.steady",
    "total_tok_s.steady",
    "req_s.steady",
    "ttft_s.p50",
    "tpot_s.p50",
    "e2e_s.p50",
)


def _medians(values: Floats, block: Ints, inside: Bools) -> Floats:
    """Median of the values of each block; NaN for a block without any."""
    found = np.full(BLOCKS, np.nan)
    for number in range(BLOCKS):
        held = values[inside & (block == number) & np.isfinite(values)]
        if len(held):
            found[number] = np.median(held)
    return found
