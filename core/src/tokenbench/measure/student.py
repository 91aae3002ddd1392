"""Quantiles of Student's t distribution."""

from __future__ import annotations

import functools
import math


def t_quantile_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t."""
    return t_quantile(0.975, degrees)


@functools.cache
def t_quantile(probability: float, degrees: int) -> float:
    """A quantile of Student's t above the median, by bisection of its distribution function.

    For integer degrees of freedom the distribution function is a finite sum (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4).
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no quantile of {probability} with {degrees} degrees of freedom")
    low, high = 0.0, 1000.0
    while _t_two_sided(high, degrees) < 2 * probability - 1:
        high *= 10
    while low < (middle := (low + high) / 2) < high:
        if _t_two_sided(middle, degrees) < 2 * probability - 1:
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
