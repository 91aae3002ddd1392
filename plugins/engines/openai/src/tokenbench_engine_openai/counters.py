"""From a server's metrics pages to counters, by the names of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tokenbench.api import Counters, MetricsPage

# Counters that are not a sum over series, with their reader. Labels are those of vLLM.
_REASON, _POSITION = "finished_reason", "position"


def read_counters(names: Mapping[str, str], page: MetricsPage) -> Counters:
    """The counters of a page.

    Args:
        names: from names of `Counters` to metrics.
    """
    return Counters(**{ours: _reader(ours)(page, theirs) for ours, theirs in names.items()})


def _reader(name: str) -> Callable[[MetricsPage, str], Any]:
    if name.endswith("_time_s"):
        return MetricsPage.histogram
    readers: dict[str, Callable[[MetricsPage, str], Any]] = {
        "kv_usage": MetricsPage.max,
        "finished": lambda page, metric: page.by(metric, _REASON),
        "accepted_by_position": _by_position,
    }
    return readers.get(name, MetricsPage.sum)


def _by_position(page: MetricsPage, name: str) -> tuple[float, ...] | None:
    found = page.by(name, _POSITION)
    if found is None or not all(position.isdecimal() for position in found):
        return None
    return tuple(found[position] for position in sorted(found, key=int))
