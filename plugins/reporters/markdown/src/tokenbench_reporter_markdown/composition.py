"""Gains of several changes together, against the product of their single gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenbench.api import Composition

from .text import escape, table

_HEADER = (
    *("changes", "tok/s/user", "gain", "product of single gains", "gain / product"),
    *("engines", "note"),
)


def composition_lines(compositions: Iterable[Composition]) -> Iterator[str]:
    """A table per family that has a gain of several changes; nothing without one."""
    families = [one for one in compositions if any(len(g.changes) > 1 and g.at for g in one.gains)]
    if not families:
        return
    yield "### Gains alone and together"
    yield ""
    yield (
        "Throughput per accelerator / that of the base at the same interactivity, at the ends and "
        "in the middle of what all have measured. Where gain / product is below 1, the changes do "
        "not compose."
    )
    yield ""
    for family in families:
        yield f"{escape(family.family)}. Base: {escape(family.base)}"
        yield ""
        yield from table(_HEADER, _rows(family), 1)
        yield ""


def _rows(family: Composition) -> Iterator[list[str]]:
    for gain in family.gains:
        changes, engines = escape(" + ".join(gain.changes)), escape(", ".join(gain.engines))
        note = escape(gain.reason or "")
        if not gain.at:
            yield [changes, *("-",) * 4, engines, note]
        for at in gain.at:
            yield [
                changes,
                f"{at.interactivity:.4g}",
                _ratio(at.gain, at.gain_half_width),
                _ratio(at.product, at.product_half_width),
                _ratio(at.ratio, at.ratio_half_width),
                engines,
                note,
            ]


def _ratio(value: float | None, half_width: float | None) -> str:
    width = "" if half_width is None else f" ± {half_width:.2f}"
    return "-" if value is None else f"{value:.2f}{width}"
