"""Reading a metrics page in Prometheus' text format, as engines serve it.

Format: prometheus.io, "Exposition formats", text-based format 0.0.4 (read 2026-11). Only what
counters need: samples summed over their label sets; `_sum`, `_count` and `_bucket` of histograms
stay names of their own.
"""

from __future__ import annotations

import math
import re

# name, optional {labels} (label values may hold any escaped character, braces too), value
_SAMPLE = re.compile(
    r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)(?:\s+-?\d+)?(?:\s+#.*)?$'
)


def parse_prometheus(text: str) -> dict[str, float]:
    """Values by metric name, summed over labels; what is no sample, or NaN, is skipped."""
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
