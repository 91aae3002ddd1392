"""Parses metrics pages in Prometheus' text format, as engines serve them.

Format: prometheus.io, "Exposition formats", text-based format 0.0.4 (read 2026-11). Covers what
counters need: samples, summed over their label sets. `_sum`, `_count` and `_bucket` of histograms
are separate names.
"""

from __future__ import annotations

import math
import re

# name, optional {labels} (label values may contain any escaped character, also braces), value
_SAMPLE = re.compile(
    r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)(?:\s+-?\d+)?(?:\s+#.*)?$'
)


def parse_prometheus(text: str) -> dict[str, float]:
    """Values by metric name, summed over labels. NaN and lines that are not samples are skipped."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line.strip())
        if match is None:
            continue
        try:
            value = float(match[2])
        except ValueError:
            continue
        if not math.isnan(value):
            sums[match[1]] = sums.get(match[1], 0.0) + value
    return sums
