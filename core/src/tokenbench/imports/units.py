"""Units of other tools, converted to ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .fields import Fields

SCALE = MappingProxyType(
    {
        **dict.fromkeys(("s", "sec", "seconds", "s/token"), 1.0),
        **dict.fromkeys(("ms", "ms/token"), 0.001),
        **dict.fromkeys(("us", "us/token"), 1e-06),
        **dict.fromkeys(("ns", "ns/token"), 1e-09),
        **dict.fromkeys(("requests/sec", "queries/s", "requests/s"), 1.0),
        **dict.fromkeys(("tokens/sec", "tokens/s"), 1.0),
        **dict.fromkeys(("requests", "tokens", "count"), 1.0),
    }
)
"""Unit -> factor to seconds, requests/s, tokens/s, requests or tokens."""


def scaled(
    block: Fields, statistics: Mapping[str, str], metric: str, unit: str
) -> dict[str, float]:
    """``metric.ours`` of a block of statistics, from their names there, with the unit that the
    block itself states.

    Args:
        statistics: name of a statistic in the file -> its name here.
        unit: the field with the unit.

    Raises:
        UsageError: the unit is unknown.
    """
    values = {f"{metric}.{ours}": total(block, name, unit) for name, ours in statistics.items()}
    return {key: value for key, value in values.items() if value is not None}


def total(block: Fields, field: str, unit: str) -> float | None:
    """One number of a block, in our unit.

    Raises:
        UsageError: the unit is unknown.
    """
    value = block.number(field)
    if value is None:
        return None
    name = block.word(unit) or ""
    if name not in SCALE:
        raise block.wrong(unit, f"a unit such as {', '.join(list(SCALE)[:3])}", name)
    return value * SCALE[name]
