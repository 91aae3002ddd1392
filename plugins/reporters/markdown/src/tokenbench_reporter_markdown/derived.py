"""Notes on the assumptions behind derived numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenbench.api import PointResult, View

from .text import escape

_SHARES = "tpot_bound_share.", "throughput_bound_share."
_COST = "usd_per_million_total_tokens."


def bounds_note(points: Sequence[PointResult]) -> Iterator[str]:
    """Of the shares of the speed of light in a table; nothing without any."""
    if not any(name.startswith(_SHARES) for point in points for name in point.metrics):
        return
    text = "Bounds are the speed of light: the most that the chips' bandwidth and FLOP/s allow."
    found = {point.mean("assumed_tokens_per_step") for point in points}
    steps = sorted(mean for mean in found if mean is not None)
    if steps:
        listed = ", ".join(f"{number:g}" for number in steps)
        text += (
            f" Assumed where no acceptance is known: {listed} tokens per decode step, the most "
            "with speculation."
        )
    yield from ("", text)


def rates_note(view: View) -> Iterator[str]:
    """The set of rates of the costs; nothing without any."""
    rates = view.economics.rates[0] if view.economics and view.economics.rates else None
    metrics = (name for run in view.runs for result in run.results for name in result.metrics)
    if rates is None or not any(name.startswith(_COST) for name in metrics):
        return
    sets = "; ".join(rates.identities)
    yield f"Costs at rates {escape(rates.name)}, {escape(rates.ownership)}: {escape(sets)}."
    yield ""
