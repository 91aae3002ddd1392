"""Every certification check fails for one fault, and no other check does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from tokenbench.api import CheckOutcome, Counters, Estimate, FrozenMap
from tokenbench.load.records import Status
from tokenbench.measure.certify import CHECKS, certify
from tokenbench.measure.devices import Devices
from tokenbench.measure.thresholds import CertificationThresholds

MS = 1_000_000

# Changes the turns, the phase and the other evidence of a good repeat.
Fault = Callable[[list[dict[str, Any]], dict[str, Any], dict[str, Any]], None]


def _late_reads(turns: Any, phase: Any, more: Any) -> None:
    phase["loop_delay_ns"] = (0, 0, 9 * MS, 9 * MS)


def _late_sends(turns: Any, phase: Any, more: Any) -> None:
    for turn in turns[5:8]:
        turn["scheduled"] -= 0.05


def _busy(turns: Any, phase: Any, more: Any) -> None:
    phase["cpu_share"] = 1.0


def _merged(turns: Any, phase: Any, more: Any) -> None:
    phase["merged_delay_ns"] = (25 * MS,) * 101
    for turn in turns:
        turn["coalesced"] = 5


def _short_of_load(turns: Any, phase: Any, more: Any) -> None:
    phase["in_flight_ns"] = 27_000 * MS


def _short_answers(turns: Any, phase: Any, more: Any) -> None:
    for turn in turns:
        turn["asked_out"] += 5


def _failing(turns: Any, phase: Any, more: Any) -> None:
    turns[3]["status"] = Status.TIMEOUT


def _caching(turns: Any, phase: Any, more: Any) -> None:
    for turn in turns:
        turn["n_cached"] = 5


def _warm_cache(turns: Any, phase: Any, more: Any) -> None:
    more["prefix_caching"] = True
    for turn in turns:
        turn["asked_shared"], turn["n_cached"] = 2, 4


def _miscounting(turns: Any, phase: Any, more: Any) -> None:
    more["after"] = Counters(prompt_tokens=310.0, generated_tokens=310 * 2.0)


def _slowing(turns: Any, phase: Any, more: Any) -> None:
    for turn in turns[20:]:
        turn["arrivals"] = turn["arrivals"][:6]
        turn["chunk_tokens"] = turn["chunk_tokens"][:6]
        turn["n_out"] = turn["asked_out"] = 6
    more["after"] = Counters(prompt_tokens=310.0, generated_tokens=200.0 + 11 * 6)


def _throttled(turns: Any, phase: Any, more: Any) -> None:
    more["devices"] = attrs.evolve(more["devices"], slowdowns={"acme 0": (0.1, ("thermal",))})


def _sampler_hangs(turns: Any, phase: Any, more: Any) -> None:
    more["devices"] = attrs.evolve(more["devices"], gaps_s={"acme": 3.5})


def _suspended(turns: Any, phase: Any, more: Any) -> None:
    phase["longest_pause_ns"] = phase["paused_ns"] = 400 * MS


def _other_load(turns: Any, phase: Any, more: Any) -> None:
    more["foreign_share"] = 0.11


def _no_more_prompts(turns: Any, phase: Any, more: Any) -> None:
    phase["starved_ns"] = 500 * MS


FAULTS: dict[str, Fault] = {
    "client loop delay": _late_reads,
    "client dispatch delay": _late_sends,
    "client CPU": _busy,
    "coalesced reads": _merged,
    "offered load": _short_of_load,
    "lengths": _short_answers,
    "failures": _failing,
    "prefix cache": _caching,
    "cache hits": _warm_cache,
    "server agreement": _miscounting,
    "stability": _slowing,
    "accelerators": _throttled,
    "telemetry": _sampler_hangs,
    "client paused": _suspended,
    "foreign load": _other_load,
    "duration": _no_more_prompts,
}


def _outcomes(
    turn: Any, evidence: Any, make_phase: Any, fault: Fault | None, width: float = 1.0
) -> dict[str, CheckOutcome]:
    """Outcomes of 31 requests of 1 s each with complete and good evidence, except for `fault`."""
    turns = [
        turn(
            float(k), [k + 0.5 + 0.02 * i for i in range(10)], end=k + 1.0, exact_output=1,
            n_cached=0, asked_in=10,
        )
        for k in range(31)
    ]  # fmt: skip
    phase = {"cpu_share": 0.03, "loop_delay_ns": (1000, 2000, 3000, 4000)}
    phase |= {"in_flight_ns": 31_000 * MS, "target_in_flight_ns": 31_000 * MS}
    more = {
        "before": Counters(prompt_tokens=0.0, generated_tokens=0.0),
        "after": Counters(prompt_tokens=310.0, generated_tokens=310.0),
        "accelerated": True, "devices": Devices(gaps_s={"acme": 1.0}), "foreign_share": 0.01,
    }  # fmt: skip
    if fault is not None:
        fault(turns, phase, more)
    repeats = [evidence(turns, make_phase(0.0, 31.0, **phase), **more)] * 3
    output = Estimate(mean=100.0, half_width=width, values=(100.0,) * 3, method="repeats")
    checks = certify(repeats, FrozenMap({"output_tok_s.steady": output}), CertificationThresholds())
    return {check.name: check.outcome for check in checks}


def test_every_check_has_a_fault(turn: Any, evidence: Any, phase: Any) -> None:
    """The table above has the checks of certification, except `precision`."""
    names = set(_outcomes(turn, evidence, phase, None))
    assert names == {*FAULTS, "precision"}
    assert len(names) == len(CHECKS) + 2


def test_good_evidence_passes_all_checks(turn: Any, evidence: Any, phase: Any) -> None:
    """All checks are assessed and pass. Hits are judged by one of two checks."""
    outcomes = _outcomes(turn, evidence, phase, None)
    assert outcomes.pop("cache hits") is CheckOutcome.NOT_ASSESSED
    assert set(outcomes.values()) == {CheckOutcome.OK}, outcomes


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_fails_its_check_only(turn: Any, evidence: Any, phase: Any, name: str) -> None:
    """The same evidence with one fault."""
    outcomes = _outcomes(turn, evidence, phase, FAULTS[name])
    bad = {n for n, o in outcomes.items() if o in (CheckOutcome.FLAGGED, CheckOutcome.INVALID)}
    assert bad == {name}, outcomes


def test_wide_interval_fails_precision_only(turn: Any, evidence: Any, phase: Any) -> None:
    """An interval of 30 % although each repeat is perfectly regular."""
    outcomes = _outcomes(turn, evidence, phase, None, width=30.0)
    bad = {n for n, o in outcomes.items() if o in (CheckOutcome.FLAGGED, CheckOutcome.INVALID)}
    assert bad == {"precision"}
