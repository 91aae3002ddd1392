"""Figures of SKUs as text, in the units of data sheets."""

from __future__ import annotations

from typing import Any

# End of a figure's name, its unit, and the size of the unit. The first that fits is used.
_UNITS = (
    ("memory_bytes", "GiB", 1 << 30),
    ("memory_bandwidth_bytes_s", "TB/s", 1e12),
    ("_bytes_s", "GB/s", 1e9),
    ("all_in_w", "kW", 1e3),
    ("_w", "W", 1),
)


def in_unit(name: str, value: Any) -> str:
    """The value without its unit; ``-`` for None."""
    return _split(name, value)[0]


def with_unit(name: str, value: Any) -> str:
    """The value and its unit."""
    return " ".join(part for part in _split(name, value) if part)


def _split(name: str, value: Any) -> tuple[str, str]:
    if value is None:
        return "-", ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)), ""
    if not isinstance(value, int | float):
        return str(value), ""
    if name.startswith("dense_flops."):
        return f"{value / 1e12:,.6g}", "TOP/s" if ".int" in name else "TFLOP/s"
    if ".usd_per_hour." in f".{name}":
        return f"{value:.3f}".removesuffix("0"), "USD/h"
    for end, unit, size in _UNITS:
        if name.endswith(end):
            return f"{value / size:,.6g}", unit
    return f"{value:,}", ""
