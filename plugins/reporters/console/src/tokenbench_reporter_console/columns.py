"""The columns of the table: metric, unit, and priority on narrow terminals."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import Estimate, PointResult


@attrs.frozen
class Column:
    """A metric in a table. `scale` converts the metric's unit to the displayed one.

    `rank`: columns with a high rank are omitted first on a narrow terminal. `zero`: whether zeros
    alone are shown. `instead_of`: the column is shown only if no result has that metric.
    """

    metric: str
    title: str
    unit: str
    scale: float = 1.0
    digits: int = 1
    rank: int = 0
    zero: bool = True
    instead_of: str | None = None


COLUMNS = (
    Column("req_s.steady", "req", "/s", digits=2, rank=4),
    Column("goodput_req_s.steady", "goodput", "req/s", digits=2, rank=0),
    Column("output_tok_s.steady", "output", "tok/s", rank=0),
    Column(
        "output_tok_s.whole", "output, whole", "tok/s", rank=0, instead_of="output_tok_s.steady"
    ),
    Column("total_tok_s_per_accelerator.steady", "total per accel.", "tok/s", rank=2),
    Column(
        "total_tok_s_per_accelerator.whole",
        "total per accel., whole",
        "tok/s",
        rank=2,
        instead_of="total_tok_s_per_accelerator.steady",
    ),
    Column("ttft_s.p50", "TTFT p50", "ms", scale=1e3, digits=0, rank=0),
    Column("ttft_s.p99", "TTFT p99", "ms", scale=1e3, digits=0, rank=3),
    Column("tpot_s.p50", "TPOT p50", "ms", scale=1e3, digits=2, rank=0),
    Column("interactivity_tok_s.p50", "interactivity p50", "tok/s/user", digits=1, rank=0),
    Column("cached_prompt_share.server", "cached", "% prompt", scale=100, digits=1, rank=4),
    Column("accepted_draft_share.server", "drafts", "% accepted", scale=100, digits=1, rank=4),
    Column("preemptions.server", "preempted", "requests", digits=0, rank=6, zero=False),
    Column("retries", "retries", "requests", digits=0, rank=2, zero=False),
    Column("usd_per_million_total_tokens.steady", "cost", "USD/Mtok", digits=3, rank=1),
    Column(
        "usd_per_million_total_tokens.whole",
        "cost, whole",
        "USD/Mtok",
        digits=3,
        rank=1,
        instead_of="usd_per_million_total_tokens.steady",
    ),
    Column("energy_j_per_output_token.accelerator", "energy", "J/out tok", digits=2, rank=1),
    Column("energy_j_per_output_token.cpu", "energy, CPU", "J/out tok", digits=2, rank=5),
    Column("energy_j_per_output_token.host", "energy, host", "J/out tok", digits=2, rank=5),
    Column("power_cap_share.accelerator", "power-capped", "% time", scale=100, digits=0, rank=6),
    Column("clock_hz.accelerator", "clock", "MHz", scale=1e-6, digits=0, rank=6),
)


def useful(results: Sequence[PointResult]) -> list[Column]:
    """The columns that have something to show."""
    shown = {c.metric for c in COLUMNS if any(measured(r, c) for r in results)}
    return [c for c in COLUMNS if c.metric in shown and c.instead_of not in shown]


def measured(result: PointResult, column: Column) -> bool:
    """Whether a result has a value for this metric that is worth a column."""
    mean = result.mean(column.metric)
    return mean is not None and (column.zero or mean != 0)


def cells(results: Sequence[PointResult], column: Column) -> list[str]:
    """A column's cells, with values and half-widths aligned; ``-`` for unmeasured values."""
    parts = [_parts(result.metrics.get(column.metric), column) for result in results]
    value_width = max(len(value) for value, _ in parts)
    half_width = max(len(half) for _, half in parts)
    if not half_width:
        return [value.rjust(value_width) for value, _ in parts]
    return [
        f"{value.rjust(value_width)} ± {half.rjust(half_width)}"
        if half
        else value.rjust(value_width) + " " * (half_width + 3)
        for value, half in parts
    ]


def _parts(estimate: Estimate | None, column: Column) -> tuple[str, str]:
    if estimate is None or estimate.mean is None:
        return "-", ""
    value = f"{estimate.mean * column.scale:,.{column.digits}f}"
    if estimate.half_width is None:
        return value, ""
    return value, f"{estimate.half_width * column.scale:,.{column.digits}f}"
