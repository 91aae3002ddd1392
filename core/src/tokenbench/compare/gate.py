"""Conditions under which a comparison fails: ``regression>3%``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import attrs

from tokenbench.api import UsageError

from .comparison import Comparison, definition
from .series import SeriesVerdict, Verdict

ANY = "regression"
_FORM = re.compile(r"\s*([\w.]+)\s*>\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


@attrs.frozen(kw_only=True)
class Condition:
    """Fails if a judged metric (None: any) got worse by more than `limit` beyond its noise."""

    metric: str | None
    limit: float


def parse_condition(text: str) -> Condition:
    """A condition from ``regression>3%`` or ``METRIC>3%``.

    Raises:
        UsageError: another form, or an unknown metric.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--fail-on {text}: expected regression>NUMBER% or METRIC>NUMBER%",
            hint='for example --fail-on "regression>3%"',
        )
    name = found[1]
    if name != ANY:
        definition(name)
    return Condition(metric=None if name == ANY else name, limit=float(found[2]) / 100)


def failures(
    comparison: Comparison, conditions: Sequence[Condition]
) -> tuple[list[SeriesVerdict], list[SeriesVerdict]]:
    """The verdicts that fail a condition, and those of conditions that cannot be judged.

    Raises:
        UsageError: a condition's metric has no verdict.
    """
    failed, open_ = [], []
    for condition in conditions:
        asked = [v for v in comparison.verdicts if condition.metric in (None, v.metric)]
        if condition.metric is not None and comparison.verdicts and not asked:
            raise UsageError(
                f"--fail-on {condition.metric}: the metric has no verdict",
                hint=f"add --metric {condition.metric}",
            )
        failed += [v for v in asked if _worse_by(v) > condition.limit]
        open_ += [v for v in asked if v.verdict is Verdict.TOO_LITTLE_DATA]
    return list(dict.fromkeys(failed)), list(dict.fromkeys(open_))


def _worse_by(verdict: SeriesVerdict) -> float:
    """How much worse a metric got: the mean, or the worst single level, if beyond the noise."""
    if verdict.verdict is not Verdict.WORSE:
        return -math.inf
    higher = definition(verdict.metric).higher_is_better
    sizes = [one.relative for one in verdict.single]
    if verdict.mean_differs and verdict.relative is not None:
        sizes.append(verdict.relative)
    return max(-size if higher else size for size in sizes)
