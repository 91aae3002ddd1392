"""The columns of the table: which metric, in which unit, and how dear it is when room is scarce."""

from __future__ import annotations

import attrs

from tokenbench.api import Estimate, PointResult


@attrs.frozen
class Column:
    """A metric in a table. `scale` turns the metric's unit into the one shown.

    `rank`: columns of high rank go first on a narrow terminal.
    """

    metric: str
    title: str
    unit: str
    scale: float = 1.0
    digits: int = 1
    rank: int = 0


COLUMNS = (
    Column("req_s.steady", "req", "/s", digits=2, rank=4),
    Column("output_tok_s.steady", "output", "tok/s", rank=0),
    Column("total_tok_s_per_accelerator.steady", "total per accel.", "tok/s", rank=2),
    Column("ttft_s.p50", "TTFT p50", "ms", scale=1e3, digits=0, rank=0),
    Column("ttft_s.p99", "TTFT p99", "ms", scale=1e3, digits=0, rank=3),
    Column("tpot_s.p50", "TPOT p50", "ms", scale=1e3, digits=2, rank=0),
    Column("interactivity_tok_s.p50", "interactivity p50", "tok/s/user", digits=1, rank=0),
    Column("energy_j_per_output_token.accelerator", "energy", "J/out tok", digits=2, rank=1),
    Column("energy_j_per_output_token.host", "energy, host", "J/out tok", digits=2, rank=5),
)


def measured(result: PointResult, column: Column) -> bool:
    """Whether a result has this metric at all."""
    estimate = result.metrics.get(column.metric)
    return estimate is not None and estimate.mean is not None


def cell(estimate: Estimate | None, column: Column) -> tuple[str, str]:
    """The value and its half-width as text; ``-`` for what was not measured."""
    if estimate is None or estimate.mean is None:
        return "-", ""
    value = f"{estimate.mean * column.scale:,.{column.digits}f}"
    if estimate.half_width is None:
        return value, ""
    return value, f"± {estimate.half_width * column.scale:,.{column.digits}f}"
