"""A node program that needs more than a host has."""

from __future__ import annotations

from typing import Any

import attrs


def probe(options: dict[str, Any]) -> dict[str, Any]:
    return {"reason": attrs.__name__, "hint": "-"}


def sampler(options: dict[str, Any], devices: list[int]) -> None:
    return None
