"""Columns: one number per point, with unit, interval, basis and the rates that it derives from.

Intervals are of first order. For f(x, z, ...) with half-widths h of independent inputs::

    h_f = sqrt((df/dx * h_x)^2 + (df/dz * h_z)^2 + ...)

The half-width of an input is that of its 95 % interval (:class:`tokenbench.api.Estimate`). Rates
and prices are exact: their half-width is 0. An input without interval gives a result without one.
The formula is good while the half-widths are small against the values (10 % and less).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from tokenbench.api import Estimate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Basis(enum.StrEnum):
    """The accelerators whose cost is charged to a token.

    ``whole machine``: all of them. The costs of input and output tokens then describe the same
    money twice, and are never added. ``per role``: those of one role of a disaggregated deployment;
    the costs of input (prefill) and output (decode) tokens add up to the whole.
    """

    WHOLE_MACHINE = "whole machine"
    PER_ROLE = "per role"


@attrs.frozen(kw_only=True)
class RateIdentity:
    """A dated set of rates or prices: its name (or publisher), version and date."""

    name: str
    version: str
    date: str

    def __str__(self) -> str:
        return f"{self.name}, {self.version} ({self.date})"


@attrs.frozen(kw_only=True, eq=False)
class Column:
    """One number per point.

    Attributes:
        unit: of `values` and `half_widths`.
        values: shape (points,); NaN where the number is unknown.
        half_widths: half-widths of the 95 % intervals; NaN: no interval; 0: exact.
        basis: for costs, energy and margins, the accelerators included.
        rates: all sets of rates or prices used for any entry.
        hints: why an entry is unknown and what would make it known; None for others.
    """

    unit: str
    values: Floats
    half_widths: Floats
    hints: tuple[str | None, ...]
    basis: Basis | None = None
    rates: tuple[RateIdentity, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def listed(self) -> tuple[float | None, ...]:
        """The values; None for unknown ones."""
        return _listed(self.values)

    def listed_half_widths(self) -> tuple[float | None, ...]:
        """The half-widths; None where there is no interval."""
        return _listed(self.half_widths)

    def take(self, indices: Ints) -> Column:
        """The entries at `indices`, in that order."""
        return attrs.evolve(
            self,
            values=self.values[indices],
            half_widths=self.half_widths[indices],
            hints=tuple(self.hints[index] for index in indices),
        )


Numbers = Column | npt.ArrayLike | Sequence[float | None] | float | None
"""A column, or numbers without interval. None and NaN are unknown; one number is for all points."""


def measured(values: Numbers, unit: str, half_widths: Numbers = math.nan) -> Column:
    """A measured column. Without `half_widths` it has no intervals.

    >>> measured([250.0, None], "tok/s", [5.0, None]).listed()
    (250.0, None)
    """
    if isinstance(values, Column):
        return values
    numbers = floats(values)
    widths = np.where(np.isnan(numbers), math.nan, floats(half_widths))
    return Column(unit=unit, values=numbers, half_widths=widths, hints=(None,) * len(numbers))


def exact(values: Numbers, unit: str) -> Column:
    """A column without uncertainty, such as prices."""
    return measured(values, unit, 0.0)


def from_estimates(estimates: Iterable[Estimate | None], unit: str) -> Column:
    """A metric of several points, with the intervals from their repeats.

    >>> speed = Estimate(mean=250.0, half_width=5.0, values=(249.0, 248.0, 253.0))
    >>> from_estimates([speed, None], "tok/s").listed_half_widths()
    (5.0, None)
    """
    known = tuple(estimates)
    return measured(
        [None if estimate is None else estimate.mean for estimate in known],
        unit,
        [None if estimate is None else estimate.half_width for estimate in known],
    )


def floats(values: Numbers) -> Floats:
    """Numbers as an array of one dimension, NaN for None.

    Raises:
        ValueError: they have more than one dimension.
    """
    if isinstance(values, Column):
        return values.values
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.ndim != 1:
        raise ValueError(f"expected one number per point, got an array of shape {array.shape}")
    return array


def first_order(
    unit: str,
    values: npt.ArrayLike,
    inputs: Sequence[tuple[Column, Floats | float]],
    *,
    basis: Basis | None = None,
    undefined: str = "it is not defined for these values",
) -> Column:
    """A derived column.

    Args:
        values: the results; entries that are not finite, or where any input is NaN, become NaN.
        inputs: each input with the derivative of the result by it.
        undefined: the hint where the inputs are known and the result is not finite.
    """
    columns = [column for column, _ in inputs]
    shape = np.broadcast_shapes(np.shape(values), *(column.values.shape for column in columns))
    results = np.array(np.broadcast_to(values, shape), dtype=np.float64)
    missing = np.zeros(shape, dtype=np.bool_)
    variance = np.zeros(shape)
    for column, derivative in inputs:
        missing |= np.isnan(column.values)
        with np.errstate(invalid="ignore", over="ignore"):
            term = derivative * column.half_widths
            # An input without influence needs no interval.
            variance = variance + np.where(np.equal(derivative, 0), 0.0, term) ** 2
    unknown = missing | ~np.isfinite(results)
    results[unknown] = math.nan
    widths = np.sqrt(variance)
    widths[unknown | ~np.isfinite(widths)] = math.nan
    return Column(
        unit=unit,
        values=results,
        half_widths=widths,
        hints=_hints(columns, unknown, missing, undefined),
        basis=basis,
        rates=tuple(dict.fromkeys(rate for column in columns for rate in column.rates)),
    )


def _hints(
    columns: Sequence[Column], unknown: Bools, missing: Bools, undefined: str
) -> tuple[str | None, ...]:
    found: list[str | None] = []
    for index, is_unknown in enumerate(unknown.tolist()):
        reasons = [c.hints[index if len(c) > 1 else 0] for c in columns] if is_unknown else []
        reason = next((text for text in reasons if text is not None), None)
        if is_unknown and reason is None and not missing[index]:
            reason = undefined
        found.append(reason)
    return tuple(found)


def _listed(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())
