"""Provisioned power per token.

Provisioned (all-in) power includes the accelerator's share of host, network and cooling. It is a
planning figure; measured accelerator and host power are other numbers (``energy_j_per_*``).
"""

from __future__ import annotations

import numpy as np

from .column import Basis, Column, Numbers, exact, first_order, measured
from .cost import PER_ACCELERATOR

_W = "W/accelerator"


def tok_s_per_mw(tok_s_per_accelerator: Numbers, all_in_w: Numbers) -> Column:
    """Tokens per second and provisioned MW: throughput * 1e6 / all_in_w, both per accelerator.

    >>> tok_s_per_mw(1000.0, 2000.0).listed()
    (500000.0,)
    """
    speed, power = measured(tok_s_per_accelerator, PER_ACCELERATOR), exact(all_in_w, _W)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = 1e6 / power.values
        result = speed.values * factor
        return first_order(
            "tok/s/MW",
            result,
            [(speed, factor), (power, -result / power.values)],
            basis=Basis.WHOLE_MACHINE,
            undefined="the provisioned power is 0",
        )


def provisioned_j_per_token(tok_s_per_accelerator: Numbers, all_in_w: Numbers) -> Column:
    """Provisioned joules per token: all_in_w / throughput, both per accelerator.

    >>> provisioned_j_per_token([1000.0, 0.0], 2000.0).listed()
    (2.0, None)
    """
    speed, power = measured(tok_s_per_accelerator, PER_ACCELERATOR), exact(all_in_w, _W)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = power.values / speed.values
        return first_order(
            "J/tok",
            result,
            [(power, 1 / speed.values), (speed, -result / speed.values)],
            basis=Basis.WHOLE_MACHINE,
            undefined="the throughput is 0: no token was processed",
        )


def fleet(budget_mw: Numbers, all_in_w: Numbers) -> Column:
    """Accelerators that a power budget provisions: floor(MW * 1000 / kW).

    >>> fleet(1.0, [1710.0, None]).listed()
    (584.0, None)
    """
    budget, power = exact(budget_mw, "MW"), exact(all_in_w, _W)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = budget.values * 1e6 / power.values
    # 0.57 * 1e6 may be slightly below 570,000, which must not cost an accelerator.
    nearest = np.round(quotient)
    whole = np.isclose(quotient, nearest, rtol=1e-14, atol=0.0)
    count = np.where(whole, nearest, np.floor(quotient))
    return first_order(
        "accelerators",
        count,
        [(budget, 0.0), (power, 0.0)],
        undefined="the provisioned power is 0",
    )
