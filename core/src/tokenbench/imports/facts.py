"""Facts that a file does not state and the user adds: ``--set engine=NAME``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import UsageError
from tokenbench.suite.limits import MOST_ACCELERATORS
from tokenbench.suite.shown import shown

from .draft import UNKNOWN, Draft

KEYS = (
    *("engine", "engine_version", "model", "precision", "hardware", "accelerators", "layout"),
    *("speculation", "workload", "date"),
)


def parse(pairs: Sequence[str], sku: Callable[[str], str]) -> dict[str, Any]:
    """The facts of ``KEY=VALUE`` texts.

    Raises:
        UsageError: an unknown key, a key given twice, or a wrong value.
    """
    facts: dict[str, Any] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not value or key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}=...? " if near and key not in KEYS else ""
            raise UsageError(
                f"--set {pair}: expected KEY=VALUE", hint=f"{hint}keys: {', '.join(KEYS)}"
            )
        if key in facts:
            raise UsageError(f"--set {key}: given twice", hint="give each key once")
        facts[key] = value
    if "accelerators" in facts:
        facts["accelerators"] = _count(facts["accelerators"])
    if "hardware" in facts:
        facts["hardware"] = sku(facts["hardware"])
    return facts


def _count(text: str) -> int:
    digits = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_ACCELERATORS))
    if not digits or not 1 <= int(text) <= MOST_ACCELERATORS:
        raise UsageError(
            f"--set accelerators: expected between 1 and {MOST_ACCELERATORS:,}, got {shown(text)}",
            hint="for example accelerators=8",
        )
    return int(text)


def add(draft: Draft, facts: Mapping[str, Any]) -> Draft:
    """The draft with the facts that its source does not state.

    Raises:
        UsageError: the source states something else.
    """
    for key, value in facts.items():
        stated = getattr(draft, key)
        if stated not in (None, UNKNOWN, value):
            raise UsageError(
                f"--set {key}={value}: {draft.file} says {stated}",
                hint="--set only adds facts that a file does not state",
            )
    return attrs.evolve(draft, **facts)
