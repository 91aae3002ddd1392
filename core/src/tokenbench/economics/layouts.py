"""Replicas and expert parallelism, read from a point's layout."""

from __future__ import annotations

import math
import re

from tokenbench.api import DECODE, PointResult

WIDE_EP = 8
"""Wide expert parallelism spans more accelerators than this: the usual host has eight."""
_POOL = re.compile(r"(?:(?P<pool>[^:+]+):)?(?:(?P<count>\d+)x)?(?P<degrees>[a-z][a-z0-9]*)")
_DEGREE = re.compile(r"(dpa|dp|tp|pp|ep|dcp|pcp)(\d*)")


def decoding_replicas(point: PointResult) -> int:
    """Copies of the model that decode, each on its share of the accelerators.

    1 if the layout does not say, as for named pools: one replica on all accelerators gives the
        fastest bound.
    """
    for pool, count, degrees in _pools(point.layout):
        if pool == (DECODE if point.roles else None):
            # Data parallelism without expert parallelism copies the whole model.
            copies = degrees.get("dp", 1) if degrees.get("ep", 1) == 1 else 1
            return _servers(point, degrees, count) * copies
    return 1


def _servers(point: PointResult, degrees: dict[str, int], count: int) -> int:
    """Replicas of a pool. Several servers behind a router share one layout, so the accelerators
    exceed its degrees.
    """
    if point.roles or point.accelerators is None:
        return count
    each = math.prod(degrees.get(axis, 1) for axis in ("tp", "pp", "pcp", "dp"))
    whole, rest = divmod(point.accelerators, max(degrees.get("ep", 1), each))
    return count if rest or not whole else whole


def wide_ep(point: PointResult) -> bool | None:
    """Whether experts of any role are spread over more than `WIDE_EP` accelerators; None if the
    layout is unknown.
    """
    pools = _pools(point.layout)
    return max(degrees.get("ep", 1) for _, _, degrees in pools) > WIDE_EP if pools else None


def _pools(layout: str) -> list[tuple[str | None, int, dict[str, int]]]:
    """Name, replicas and degrees of each pool (``prefill:2xtp4+decode:tp8ep8dpa``); empty for
    another text. A pool without a name of its own has that of its role.
    """
    found = []
    for part in layout.split("+"):
        match = _POOL.fullmatch(part)
        degrees = _DEGREE.findall(match["degrees"]) if match else []
        if match is None or "".join(a + b for a, b in degrees) != match["degrees"]:
            return []
        numbers = {axis: int(number) for axis, number in degrees if number}
        found.append((match["pool"], int(match["count"] or 1), numbers))
    return found
