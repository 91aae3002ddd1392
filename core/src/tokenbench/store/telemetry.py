"""Telemetry on disk: the samples of a repeat as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .arrow import value_array, write_columns

TELEMETRY_SCHEMA = "telemetry 1"
_COLUMNS = {
    "t": "int64",
    "w": "int64",
    "host": "string",
    "hardware": "string",
    "domain": "string",
    "role": "string",
    "device": "int64",
    "power_w": "float64",
    "energy_j": "float64",
    "utilization": "float64",
    "memory_used_bytes": "int64",
    "temperature_c": "float64",
    "memory_temperature_c": "float64",
    "clock_hz": "float64",
    "memory_clock_hz": "float64",
    "throttle": "string",
    "pids": "string",
    "lost": "string",
}


def write_telemetry(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path | None:
    """Write ``telemetry.parquet``, one row a sample; nothing without samples.

    `t` and `w` are nanoseconds of this machine's monotonic clock and of the host's wall clock; the
    other columns are described at :class:`tokenbench.api.Sample`. Reasons and processes are
    separated by ``, ``; null is not measured.

    Raises:
        MachineError: the file cannot be written.
    """
    if not rows:
        return None
    columns = {
        name: value_array([_cell(row.get(name)) for row in rows], kind)
        for name, kind in _COLUMNS.items()
    }
    return write_columns(columns, TELEMETRY_SCHEMA, folder / "telemetry.parquet")


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
