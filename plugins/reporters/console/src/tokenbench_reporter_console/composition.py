"""Gains of several changes together, against the product of their single gains, as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenbench.api import Composition, GainAt

HEADER = ("changes", "tok/s/user", "gain", "product", "gain / product")
LEGEND = (
    "gain: throughput per accelerator / the base's at the same interactivity; product: of the "
    "gains of each change alone; below 1 in the last column, the changes do not compose"
)


def shown(compositions: Iterable[Composition]) -> list[Composition]:
    """The families in which a product of single gains is known."""
    return [one for one in compositions if any(rows(one))]


def rows(family: Composition) -> Iterator[tuple[str, ...]]:
    """One row per configuration with a product, in the middle of what all have measured."""
    for gain in family.gains:
        at = gain.at[len(gain.at) // 2] if gain.at else None
        if at is not None and at.product is not None:
            yield (" + ".join(gain.changes), f"{at.interactivity:.3g}", *_cells(at))


def _cells(at: GainAt) -> Iterator[str]:
    for value, half in (
        (at.gain, at.gain_half_width),
        (at.product, at.product_half_width),
        (at.ratio, at.ratio_half_width),
    ):
        width = "" if half is None else f" ± {half:.2f}"
        yield "-" if value is None else f"{value:.2f}{width}"
