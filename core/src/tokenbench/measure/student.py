"""Quantiles of Student's t distribution."""

from __future__ import annotations

import functools
import math


@functools.cache
def t_quantile_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection of its distribution function.

    For integer degrees of freedom the distribution function is a finite sum (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1000.0
    while low < (middle := (low + high) / 2) < high:
        if _t_two_sided(middle, degrees) < 0.95:
            low = middle
        else:
            high = middle
    return middle


def _t_two_sided(t: float, degrees: int) -> float:
    """P(|T| < t)."""
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees % 2 == 0:
        term = total = 1.0
        for k in range(2, degrees - 1, 2):
            term *= (k - 1) / k * cosine**2
            total += term
        return sine * total
    if degrees == 1:
        return 2 * theta / math.pi
    term = total = cosine
    for k in range(3, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    return 2 / math.pi * (theta + sine * total)
