"""Lines below a table: shares of the speed of light, and rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenbench.api import Economics, PointResult

_SHARES = (
    ("TPOT", ("tpot_bound_share.p50",)),
    ("throughput", ("throughput_bound_share.steady", "throughput_bound_share.whole")),
)
_COST = "usd_per_million_total_tokens."


def light_lines(results: Sequence[PointResult]) -> Iterator[str]:
    """Shares of the speed of light, and what their bounds assume."""
    parts = []
    for what, names in _SHARES:
        name = next((n for n in names if any(r.mean(n) is not None for r in results)), None)
        if name is not None:
            shares = [(r.level.label, r.mean(name)) for r in results]
            listed = ", ".join(
                f"{level} {share * 100:.1f}" for level, share in shares if share is not None
            )
            parts.append(f"{what} {listed}")
    if not parts:
        return
    yield f"% of the speed of light: {'; '.join(parts)}"
    assumed = sorted({n for r in results if (n := r.mean("assumed_tokens_per_step"))})
    if assumed:
        steps = ", ".join(f"{number:g}" for number in assumed)
        yield (
            f"assumed there: {steps} tokens per decode step, the most with speculation, "
            "because no acceptance is known"
        )


def rate_lines(results: Sequence[PointResult], economics: Economics | None) -> Iterator[str]:
    """The rates of the costs in a table."""
    if economics is None or not economics.rates:
        return
    rates = economics.rates[0]
    if any(name.startswith(_COST) for result in results for name in result.metrics):
        yield (
            f"costs of total tokens at rates {rates.name}, {rates.ownership} "
            f"({'; '.join(rates.identities)})"
        )
