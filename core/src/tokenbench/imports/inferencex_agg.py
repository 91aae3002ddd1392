"""Aggregate JSON of InferenceX (``agg_*.json``), as its `utils/process_result.py` writes it.

Keys as in SemiAnalysisAI/InferenceX of 2026-08-21. A row is converted to a published row, which
`inferencex` reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from tokenbench.api import DECODE, PREFILL

from . import inferencex
from .draft import Draft
from .fields import Fields

_RENAMED = {"hw": "hardware", "infmax_model_prefix": "model", "spec_decoding": "spec_method"}
_DEGREES = {"tp": "tp", "pp": "pp", "dcp_size": "dcp", "pcp_size": "pcp", "ep": "ep"}
_RUNNER = re.compile(r"-(multinode|trt|disagg)$")
"""Suffixes of a runner's name after the accelerator."""


def read(rows: Sequence[Fields], sku: Callable[[str], str]) -> list[Draft]:
    """One draft per row."""
    return inferencex.read([_published(row) for row in rows], sku)


def _published(row: Fields) -> Fields:
    """The row with the keys of a published one."""
    row.require("hw", "infmax_model_prefix", "framework", "precision", "conc", "tput_per_gpu")
    values = dict(row.values)
    values["model_id"] = values.pop("model", None)
    for theirs, published in _RENAMED.items():
        values[published] = values.pop(theirs, None)
    values["hardware"] = _RUNNER.sub("", row.word("hw") or "")
    values["disagg"] = _flag(row, "disagg")
    apart = row.flag("is_multinode") and row.count("num_decode_gpu") != 0
    for role in (PREFILL, DECODE):
        values |= _role(row, role, values, f"{role}_" if apart else _prefix(row))
    if not apart:
        values |= dict.fromkeys(("num_prefill_gpu", "num_decode_gpu"), _accelerators(row))
    return attrs.evolve(row, values=values)


def _prefix(row: Fields) -> str:
    """The prefix of one server's degrees: for several nodes, that of prefill."""
    return f"{PREFILL}_" if row.flag("is_multinode") else ""


def _role(row: Fields, role: str, values: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for theirs, published in _DEGREES.items():
        found[f"{role}_{published}"] = row.count(f"{prefix}{theirs}")
        if theirs != published or not prefix:
            values.pop(f"{prefix}{theirs}", None)
    found[f"{role}_dp_attention"] = _flag(row, f"{prefix}dp_attention")
    if not prefix:
        values.pop("dp_attention", None)
    return found


def _accelerators(row: Fields) -> int:
    """Accelerators of one server: tp x pp x pcp, by which InferenceX divides throughput."""
    prefix = _prefix(row)
    if prefix:
        return row.count("num_prefill_gpu") or 0
    tp, pp, pcp = (row.count(key) or 1 for key in ("tp", "pp", "pcp_size"))
    return max(row.count("ep") or 1, tp * pp * pcp)


def _flag(row: Fields, key: str) -> bool | None:
    """A truth value, or its text: attention DP is written as the workflow's input."""
    value = row.get(key)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return row.flag(key)
