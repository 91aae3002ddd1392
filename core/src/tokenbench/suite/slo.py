"""Service-level objectives: ``ttft_p99<200ms,chat:tpot_p99<30ms``."""

from __future__ import annotations

import math
import re

import attrs

from tokenbench.api import UsageError

METRICS = {"ttft": "ttft_s", "tpot": "tpot_s", "e2e": "e2e_s"}
"""The metrics that an objective may limit, as users and as results name them."""
_PERCENTILES = ("mean", "p50", "p75", "p90", "p95", "p99", "p99.9")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_FORM = re.compile(
    r"\s*(?:(?P<label>[\w.-]+):)?(?P<metric>[a-z0-9]+)(?:_(?P<percentile>mean|p[0-9.]+))?"
    r"\s*<=?\s*(?P<limit>[0-9.]+)\s*(?P<unit>us|ms|s)\s*"
)
_EXAMPLE = "for example ttft_p99<200ms,tpot_p99<30ms"


@attrs.frozen(kw_only=True)
class Objective:
    """A limit on a percentile of a metric over a repeat.

    Goodput counts the requests whose own value is within `limit_s`. `label`: the class of traffic
    that it is for; None: for every request.
    """

    metric: str
    percentile: str
    limit_s: float
    label: str | None = None

    @property
    def name(self) -> str:
        """The metric, as results name it: ``ttft_s.p99``."""
        return f"{METRICS[self.metric]}.{self.percentile.replace('.', '_')}"

    def __str__(self) -> str:
        label = "" if self.label is None else f"{self.label}:"
        return f"{label}{self.metric}_{self.percentile}<{self.limit_s * 1e3:g}ms"


def parse_objectives(text: str, *, where: str) -> tuple[Objective, ...]:
    """Parse objectives; the default percentile is p99.

    Raises:
        UsageError: the text does not parse, or one metric has two limits.
    """
    found = tuple(_one(part, where) for part in text.split(",") if part.strip())
    if not found:
        raise UsageError(f"{where}: no objective in {text!r}", hint=_EXAMPLE)
    limited = [(objective.label, objective.metric) for objective in found]
    twice = [one for one in limited if limited.count(one) > 1]
    if twice:
        label, metric = twice[0]
        of = "" if label is None else f" of {label}"
        raise UsageError(
            f"{where}: {metric}{of} has two objectives", hint="give each metric one limit"
        )
    return found


def _one(text: str, where: str) -> Objective:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{where}: invalid objective {text.strip()!r}", hint=_EXAMPLE)
    label, metric, percentile, limit, unit = match.groups()
    if metric not in METRICS:
        raise UsageError(
            f"{where}: unknown metric {metric!r}", hint=f"expected one of {', '.join(METRICS)}"
        )
    percentile = percentile or "p99"
    if percentile not in _PERCENTILES:
        raise UsageError(
            f"{where}: unknown percentile {percentile!r}",
            hint=f"expected one of {', '.join(_PERCENTILES)}",
        )
    try:
        limit_s = float(limit) * _UNITS[unit]
    except ValueError:
        raise UsageError(f"{where}: invalid number {limit!r}", hint=_EXAMPLE) from None
    if not 0 < limit_s < math.inf:
        raise UsageError(f"{where}: a limit of {limit} {unit} can never be met", hint=_EXAMPLE)
    return Objective(metric=metric, percentile=percentile, limit_s=limit_s, label=label)
