"""The definitions of metrics."""

from __future__ import annotations

import subprocess
import sys

from tokenbench.measure.definitions import BY_NAME, DEFINITIONS

UNITS = ("_s", "_tok_s", "_req_s", "_j", "_w", "_tokens", "_share", "_ratio", "_hz")
COUNTS = {"requests_ok", "requests_failed", "waiting_requests", "retries", "preemptions"}
# Shares in use, and tokens per step.
COUNTS |= {f"sessions_{end}" for end in ("complete", "failed", "overflow", "cut")}
COUNTS |= {"kv_cache_use_max", "kv_cache_use_mean", "running_requests", "acceptance_length"}


def test_definitions_are_complete() -> None:
    """Unique names; each with a title, a unit and a full sentence."""
    assert len(BY_NAME) == len(DEFINITIONS)
    for definition in DEFINITIONS:
        assert definition.title and definition.unit
        assert definition.definition.endswith(".") and not definition.definition[0].islower()


def test_names_carry_their_unit() -> None:
    """The part before the dot ends with a unit, a count or a share."""
    without_unit = {
        name
        for name in (d.name.split(".")[0] for d in DEFINITIONS)
        if not name.endswith(UNITS) and "_per_" not in name and name not in COUNTS
    }
    assert without_unit == set()


def test_no_standard_deviations() -> None:
    """They cannot be inverted into interactivity."""
    assert [d.name for d in DEFINITIONS if "std" in d.name or "dev" in d.name.split(".")[-1]] == []


def test_directions() -> None:
    """Throughput and interactivity: higher is better; times and energy: lower; power: neither."""
    assert BY_NAME["interactivity_tok_s.p50"].higher_is_better is True
    assert BY_NAME["output_tok_s.steady"].higher_is_better is True
    assert BY_NAME["ttft_s.p99"].higher_is_better is False
    assert BY_NAME["energy_j_per_output_token.accelerator"].higher_is_better is False
    assert BY_NAME["power_w.host"].higher_is_better is None


def test_definitions_load_no_numpy() -> None:
    """`bench metrics` must start quickly."""
    code = (
        "import sys, tokenbench.measure.definitions as d;"
        "sys.exit(bool({'numpy', 'pyarrow', 'cattrs'} & set(sys.modules)) or not d.DEFINITIONS)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
