"""Intervals from one or two repeats: batch means over equal blocks of the steady state.

The blocks of one run share its start, so such an interval does not include what differs from start
to start. (Law, Simulation Modeling and Analysis, 5th edition, section 9.5.3.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import NS_PER_S, Floats
from .evidence import Evidence
from .metrics import tokens_by_chunk
from .student import t_quantile_975

BLOCKS = 10
"""Blocks per repeat."""


def relative_half_widths(repeats: Sequence[Evidence]) -> dict[str, float]:
    """Half-width of the 95 % interval over the mean, by metric; only those that have an interval."""
    blocks = [_blocks(evidence) for evidence in repeats]
    found = {}
    for name in blocks[0] if blocks else ():
        values = np.concatenate([block[name] for block in blocks])
        mean = float(values.mean())
        if np.isfinite(values).all() and mean:
            deviation = float(values.std(ddof=1))
            quantile = t_quantile_975(len(values) - 1)
            found[name] = quantile * deviation / math.sqrt(len(values)) / abs(mean)
    for name in ("output_tok_s", "total_tok_s"):
        if "output_tok_s.steady" in found:
            found[f"{name}_per_accelerator.steady"] = found["output_tok_s.steady"]
    return found


def _blocks(evidence: Evidence) -> dict[str, Floats]:
    """Values of each metric in each block; NaN where a block has none."""
    window, ok = evidence.steady, evidence.ok
    if window.seconds is None or not len(ok):
        return {name: np.full(BLOCKS, np.nan) for name in _METRICS}
    edges = np.linspace(window.start_ns, window.end_ns, BLOCKS + 1)
    seconds = window.seconds / BLOCKS
    arrived = tokens_by_chunk(ok, evidence.chunks)
    tokens, _ = np.histogram(arrived.ns, edges, weights=arrived.tokens)
    ended, _ = np.histogram(ok["last_ns"], edges)
    block = np.digitize(ok["last_ns"], edges) - 1
    block[ok["last_ns"] == window.end_ns] = BLOCKS - 1
    ttft = (ok["first_ns"] - ok["sent_first_ns"]) / NS_PER_S
    e2e = (ok["last_ns"] - ok["sent_first_ns"]) / NS_PER_S
    several = (ok["n_out"] > 1) & (ok["last_ns"] > ok["first_ns"])
    tpot = np.where(
        several,
        (ok["last_ns"] - ok["first_ns"]) / NS_PER_S / np.maximum(ok["n_out"] - 1, 1),
        np.nan,
    )
    return {
        "output_tok_s.steady": tokens / seconds,
        "req_s.steady": ended / seconds,
        "ttft_s.p50": _medians(ttft, block),
        "tpot_s.p50": _medians(tpot, block),
        "e2e_s.p50": _medians(e2e, block),
    }


_METRICS = ("output_tok_s.steady", "req_s.steady", "ttft_s.p50", "tpot_s.p50", "e2e_s.p50")


def _medians(values: Floats, block: np.ndarray) -> Floats:
    found = np.full(BLOCKS, np.nan)
    for number in range(BLOCKS):
        inside = values[(block == number) & np.isfinite(values)]
        if len(inside):
            found[number] = np.median(inside)
    return found
