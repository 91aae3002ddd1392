"""Parallel degrees in InferenceX's terms."""

from __future__ import annotations

import re

import attrs

_DEGREE = re.compile(r"(dpa|dp|tp|pp|ep|dcp|pcp)([0-9]*)")
_POOL = re.compile(
    r"(?:(prefill|decode):)?(?:([0-9]+)x)?((?:dpa[0-9]*|(?:dp|tp|pp|ep|dcp|pcp)[0-9]+)+)"
)


class LeftOut(ValueError):
    """A point that the format cannot express; the text says why."""


@attrs.frozen(kw_only=True)
class Degrees:
    """One role's degrees. `tp` counts the ranks that attention DP splits; `workers` are replicas,
    None if the layout does not state them.
    """

    tp: int
    pp: int
    ep: int
    dcp: int
    pcp: int
    attention_dp: bool
    workers: int | None

    @property
    def accelerators(self) -> int:
        """Accelerators of one worker; wide EP may span more than tp x pp x pcp."""
        return max(self.ep, self.tp * self.pp * self.pcp)


def parse(layout: str) -> dict[str | None, Degrees]:
    """The degrees of each role, of the role None where roles are not apart.

    Raises:
        LeftOut: the layout is no list of degrees, or has replicas of one server.
    """
    found = {}
    for part in layout.split("+"):
        match = _POOL.fullmatch(part)
        if match is None:
            raise LeftOut("its layout is unknown")
        role, workers, text = match.groups()
        found[role] = _degrees(text, None if workers is None else int(workers))
    return found


def _degrees(text: str, workers: int | None) -> Degrees:
    given = {name: int(number) if number else 0 for name, number in _DEGREE.findall(text)}
    dp = given.get("dp", 1)
    if dp > 1 and given.get("ep", 1) == 1:
        raise LeftOut("it has data parallelism without expert parallelism")
    return Degrees(
        tp=given.get("tp", 1) * dp,
        pp=given.get("pp", 1),
        ep=given.get("ep", 1),
        dcp=given.get("dcp", 1),
        pcp=given.get("pcp", 1),
        attention_dp="dpa" in given or dp > 1,
        workers=workers,
    )
