"""An engine's counters on disk: the scrapes of a repeat as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import Counters, Histogram

from .arrow import value_array, write_columns

COUNTERS_SCHEMA = "counters 1"
_HISTOGRAMS = frozenset({"queue_time_s", "prefill_time_s", "decode_time_s"})
_OF_HISTOGRAM = ("sum", "count")
_OF_MANY = frozenset({"finished", "accepted_by_position"})


@attrs.frozen(kw_only=True)
class CountersRow:
    """The counters of one process; or of the deployment, as the engine combines them (then `role`
    and all fields after it are None). `t_ns`: monotonic clock.
    """

    t_ns: int
    role: str | None = None
    pool: str | None = None
    index: int | None = None
    rank: int | None = None
    host: str | None = None
    counters: Counters


def write_counters(folder: Path, rows: Sequence[CountersRow]) -> Path | None:
    """Write ``counters.parquet``; nothing without rows.

    Columns: `t` (nanoseconds of this machine's monotonic clock), `role`, `pool`, `index` (of the
    replica), `rank`, `host`, and those of :class:`tokenbench.api.Counters`. Times have `.sum` and
    `.count`; `finished` and `accepted_by_position` have a column for each reason and position that
    occurs. Null: the engine does not report it.

    Raises:
        MachineError: the file cannot be written.
    """
    if not rows:
        return None
    cells = [dict(_cells(row.counters)) for row in rows]
    columns = {
        "t": value_array([row.t_ns for row in rows], "int64"),
        "role": value_array([row.role for row in rows], "string"),
        "pool": value_array([row.pool for row in rows], "string"),
        "index": value_array([row.index for row in rows], "int64"),
        "rank": value_array([row.rank for row in rows], "int64"),
        "host": value_array([row.host for row in rows], "string"),
        **{
            name: value_array([row.get(name) for row in cells], "float64")
            for name in _names([row.counters for row in rows])
        },
    }
    return write_columns(columns, COUNTERS_SCHEMA, folder / "counters.parquet")


def _names(rows: Sequence[Counters]) -> list[str]:
    """The columns, in the order of the fields of `Counters`."""
    names: list[str] = []
    for field in attrs.fields(Counters):
        if field.name in _HISTOGRAMS:
            names += [f"{field.name}.{part}" for part in _OF_HISTOGRAM]
        elif field.name in _OF_MANY:
            many = [_parts(getattr(row, field.name)) for row in rows]
            names += dict.fromkeys(f"{field.name}.{key}" for one in many for key, _ in one)
        else:
            names.append(field.name)
    return names


def _cells(counters: Counters) -> Iterator[tuple[str, float]]:
    for field in attrs.fields(Counters):
        value = getattr(counters, field.name)
        if isinstance(value, Histogram):
            yield from ((f"{field.name}.{part}", getattr(value, part)) for part in _OF_HISTOGRAM)
        elif field.name in _OF_MANY:
            yield from ((f"{field.name}.{key}", number) for key, number in _parts(value))
        elif value is not None:
            yield field.name, value


def _parts(value: Any) -> list[tuple[str, float]]:
    """Reasons or positions with their counts."""
    if value is None:
        return []
    items = value.items() if hasattr(value, "items") else enumerate(value)
    return [(str(key), number) for key, number in items]
