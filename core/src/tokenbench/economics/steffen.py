"""Monotone cubic interpolation.

M. Steffen, "A simple method for monotonic interpolation in one dimension", Astronomy and
Astrophysics 239 (1990) 443: between two knots, the curve never leaves the range of their values.
"""

from __future__ import annotations

import numpy as np

from .column import Floats, Ints


def steffen(x: Floats, y: Floats, targets: Floats) -> Floats:
    """Values at `targets` of the curve through knots with strictly increasing `x`.

    Two knots are joined by a straight line; one knot has a value only at its own x. Outside of the
    knots the result is NaN.

    >>> steffen(np.array([0.0, 2.0]), np.array([4.0, 0.0]), np.array([1.0, 3.0])).tolist()
    [2.0, nan]
    """
    if len(x) == 0:
        return np.full(len(targets), np.nan)
    if len(x) == 1:
        return np.where(targets == x[0], y[0], np.nan)
    left = _interval(x, targets)
    low, high = np.minimum(y[left], y[left + 1]), np.maximum(y[left], y[left + 1])
    # Exact at both knots, and not even rounding leaves the range between them.
    values = np.clip(cubic(x, y, targets), low, high)
    values = np.where(targets == x[left + 1], y[left + 1], values)
    inside = (targets >= x[0]) & (targets <= x[-1])
    return np.where(inside, values, np.nan)


def cubic(x: Floats, y: Floats, targets: Floats) -> Floats:
    """Like :func:`steffen`, for at least two knots, but extrapolating; used for derivatives."""
    width = np.diff(x)
    secant = np.diff(y) / width
    slope = _slopes(width, secant)
    left = _interval(x, targets)
    h, s = width[left], secant[left]
    t = targets - x[left]
    a = (slope[left] + slope[left + 1] - 2 * s) / h**2
    b = (3 * s - 2 * slope[left] - slope[left + 1]) / h
    values: Floats = ((a * t + b) * t + slope[left]) * t + y[left]
    return values


def _interval(x: Floats, targets: Floats) -> Ints:
    """The index of the knot to the left of each target."""
    return np.clip(np.searchsorted(x, targets, side="right") - 1, 0, len(x) - 2)


def _slopes(width: Floats, secant: Floats) -> Floats:
    """Derivatives at the knots: equation 11 of the paper inside, 24 to 26 at the ends."""
    slope = np.empty(len(width) + 1)
    if len(width) == 1:
        slope[:] = secant[0]
        return slope
    before, after = secant[:-1], secant[1:]
    parabola = (before * width[1:] + after * width[:-1]) / (width[:-1] + width[1:])
    steepest = np.minimum(np.minimum(np.abs(before), np.abs(after)), np.abs(parabola) / 2)
    slope[1:-1] = (np.sign(before) + np.sign(after)) * steepest
    slope[0] = _end(width[0], width[1], secant[0], secant[1])
    slope[-1] = _end(width[-1], width[-2], secant[-1], secant[-2])
    return slope


def _end(width: float, next_width: float, secant: float, next_secant: float) -> float:
    """Derivative of the parabola through the three knots at an end, limited."""
    part = width / (width + next_width)
    found = secant * (1 + part) - next_secant * part
    if np.sign(found) != np.sign(secant):
        return 0.0
    return found if abs(found) <= 2 * abs(secant) else 2 * secant
