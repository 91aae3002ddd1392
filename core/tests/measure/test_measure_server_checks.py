"""Each check of the server, with a case for each outcome."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tokenbench.api import CheckOutcome, Counters
from tokenbench.load.records import ABSENT, Status
from tokenbench.measure import server_checks
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, INVALID = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.INVALID
NOT_ASSESSED = CheckOutcome.NOT_ASSESSED


def _exact(turn: Any, wrong: int, of: int = 200) -> list[Any]:
    """Requests of which `wrong` of `of` return one token less than requested."""
    return [
        turn(float(k), [k + 0.5], n_out=99 if k < wrong else 100, asked_out=100, exact_output=1)
        for k in range(of)
    ]


@pytest.mark.parametrize(("wrong", "outcome"), [(2, OK), (3, FLAGGED), (21, INVALID)])
def test_output_lengths(
    turn: Any, evidence: Any, phase: Any, wrong: int, outcome: CheckOutcome
) -> None:
    """Flagged below 99 % of responses with the requested length, invalid below 90 %."""
    data = evidence(_exact(turn, wrong), phase(0.0, 200.0))
    assert server_checks.lengths(data, LIMITS).outcome is outcome


@pytest.mark.parametrize(
    ("n_in", "outcome"),
    [
        (100, OK),
        (128, OK),  # the same extra tokens in all prompts are the template
        (166, OK),  # at most 64 tokens of template: 1.2 % off
        (169, FLAGGED),  # 3 %
        (200, INVALID),  # 22 %
        (97, FLAGGED),
        (50, INVALID),
    ],
)
def test_input_lengths(
    turn: Any, evidence: Any, phase: Any, n_in: int, outcome: CheckOutcome
) -> None:
    """Flagged above 2 % of 100 requested tokens plus the template, invalid above 10 %."""
    turns = [turn(float(k), [k + 0.5], asked_in=100, n_in=n_in) for k in range(20)]
    data = evidence(turns, phase(0.0, 20.0))
    assert server_checks.lengths(data, LIMITS).outcome is outcome


def test_long_template_shows_in_prompts_of_different_lengths(
    turn: Any, evidence: Any, phase: Any
) -> None:
    """300 extra tokens for any prompt length are a template; a third more tokens are not."""
    for n_in, outcome in (
        (lambda length: length + 300, OK),
        (lambda length: length * 4 // 3, INVALID),
    ):
        turns = [
            turn(float(k), [k + 0.5], asked_in=800 + 10 * k, n_in=n_in(800 + 10 * k))
            for k in range(20)
        ]
        assert server_checks.lengths(evidence(turns, phase(0.0, 20.0)), LIMITS).outcome is outcome


def test_lengths_report_both_sides(turn: Any, evidence: Any, phase: Any) -> None:
    """Correct outputs do not hide wrong prompts; not assessed without requested lengths."""
    both = [
        turn(float(k), [k + 0.5], asked_in=100, n_in=300, asked_out=1, exact_output=1)
        for k in range(20)
    ]
    check = server_checks.lengths(evidence(both, phase(0.0, 20.0)), LIMITS)
    assert check.outcome is INVALID
    assert check.evidence == (
        "100.0 % of 20 responses have the requested length; limit 99 %; mean error of prompt "
        "lengths 82.93 %, template 64 tokens; limit 10 %; check the model's tokenizer and chat "
        "template"
    )
    free = evidence([turn(0.0, [1.0])], phase(0.0, 1.0))
    assert server_checks.lengths(free, LIMITS).outcome is NOT_ASSESSED


@pytest.mark.parametrize(("failed", "outcome"), [(0, OK), (1, FLAGGED), (6, INVALID)])
def test_failures(turn: Any, evidence: Any, phase: Any, failed: int, outcome: CheckOutcome) -> None:
    """Any failure is flagged, more than 5 % are invalid."""
    turns = [
        turn(float(k), [k + 0.5], status=Status.HTTP if k < failed else Status.OK)
        for k in range(100)
    ]
    check = server_checks.failures(evidence(turns, phase(0.0, 100.0)), LIMITS)
    assert check.outcome is outcome
    assert check.evidence.startswith(f"{failed} of 100 requests failed ({failed}.0 %)")
    assert (f": {failed} http; limit " in check.evidence) == (failed > 0)


def test_no_completed_request_is_invalid(turn: Any, evidence: Any, phase: Any) -> None:
    """No request at all, or cancelled ones only."""
    assert server_checks.failures(evidence([], phase(0.0, 1.0)), LIMITS).outcome is INVALID
    cancelled = [turn(0.0, [], status=Status.CANCELLED), turn(0.0, [1.0])]
    assert server_checks.failures(evidence(cancelled, phase(0.0, 1.0)), LIMITS).outcome is OK
    data = evidence(cancelled[:1], phase(0.0, 1.0))
    assert server_checks.failures(data, LIMITS).outcome is INVALID


@pytest.mark.parametrize(
    ("hits", "template", "outcome"),
    [
        (10, 0, OK),  # of 2000 prompt tokens: 0.5 %
        (30, 0, FLAGGED),
        (300, 0, INVALID),
        (300, 15, OK),  # 20 requests share a template of 15 tokens
        (340, 15, FLAGGED),
    ],
)
def test_prefix_cache_by_counters_and_by_usage(
    turn: Any, evidence: Any, phase: Any, hits: int, template: int, outcome: CheckOutcome
) -> None:
    """Limits of 1 % and 10 % of the prompt tokens, without hits on the shared template."""
    turns = [turn(float(k), [k + 0.5], n_in=100, asked_in=100 - template) for k in range(20)]
    counted = evidence(
        turns,
        phase(0.0, 20.0),
        before=Counters(prompt_tokens=7.0, cached_prompt_tokens=5.0),
        after=Counters(prompt_tokens=2007.0, cached_prompt_tokens=5.0 + hits),
    )
    assert server_checks.prefix_cache(counted, LIMITS).outcome is outcome
    reported = [dict(t, n_cached=hits // 20 + (k < hits % 20)) for k, t in enumerate(turns)]
    by_usage = evidence(reported, phase(0.0, 20.0))
    assert server_checks.prefix_cache(by_usage, LIMITS).outcome is outcome


def test_prefix_cache_allowed_or_not_reported(turn: Any, evidence: Any, phase: Any) -> None:
    """Not assessed."""
    turns = [turn(0.0, [1.0], n_cached=9)]
    allowed = evidence(turns, phase(0.0, 1.0), prefix_caching=True)
    assert server_checks.prefix_cache(allowed, LIMITS).outcome is NOT_ASSESSED
    silent = evidence([turn(0.0, [1.0])], phase(0.0, 1.0), before=Counters(), after=Counters())
    assert server_checks.prefix_cache(silent, LIMITS).outcome is NOT_ASSESSED


@pytest.mark.parametrize(
    ("server_in", "server_out", "outcome"),
    [
        (2000, 1000, OK),
        (2010, 1000, OK),  # 0.5 %
        (2000, 985, FLAGGED),  # 1.5 %
        (1800, 1000, INVALID),  # 11 %
        (2000, 0, INVALID),
        (2000, -50, NOT_ASSESSED),
    ],
)
def test_server_agreement(
    turn: Any, evidence: Any, phase: Any,
    server_in: float, server_out: float, outcome: CheckOutcome,
) -> None:  # fmt: skip
    """The client counts 2000 in and 1000 out; the worse side counts; a restart is not assessed."""
    turns = [turn(float(k), [k + 0.5], n_in=100, n_out=50) for k in range(20)]
    data = evidence(
        turns,
        phase(0.0, 20.0),
        before=Counters(prompt_tokens=300.0, generated_tokens=500.0),
        after=Counters(prompt_tokens=300.0 + server_in, generated_tokens=500.0 + server_out),
    )
    check = server_checks.server_agreement(data, LIMITS)
    assert check.outcome is outcome
    texts = (f"input tokens: client 2000, server {server_in}", f"client 1000, server {server_out}")
    assert outcome is NOT_ASSESSED or all(text in check.evidence for text in texts)


def test_server_agreement_needs_both_sides(turn: Any, evidence: Any, phase: Any) -> None:
    """No counters, other counters, failed requests or no client counts: not assessed."""
    turns = [turn(0.0, [1.0])]
    around = {"before": Counters(generated_tokens=0.0), "after": Counters(generated_tokens=9.0)}
    for data in (
        evidence(turns, phase(0.0, 1.0)),
        evidence(turns, phase(0.0, 1.0), before=Counters(), after=Counters()),
        evidence([turn(0.0, [1.0], status=Status.BROKEN)], phase(0.0, 1.0), **around),
        evidence([turn(0.0, [1.0], n_out=ABSENT)], phase(0.0, 1.0), **around),
    ):
        assert server_checks.server_agreement(data, LIMITS).outcome is NOT_ASSESSED


def _flow(turn: Any, rates: list[float], *, third_s: float = 10.0, e2e_s: float = 1.0) -> Any:
    """Sequential requests with the given tokens per second in each third."""
    turns, at = [], 0.0
    for rate in rates:
        for _ in range(round(third_s / e2e_s)):
            count = round(rate * e2e_s)
            turns.append(turn(at, [at + e2e_s * (i + 1) / count for i in range(count)]))
            at += e2e_s
    return [*turns, turn(at, [at + 0.1])]


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [
        ([100, 100, 102], OK),
        ([100, 100, 108], FLAGGED),
        ([100, 90, 120], INVALID),
    ],
)
def test_stability(
    turn: Any, evidence: Any, phase: Any, rates: list[float], outcome: CheckOutcome
) -> None:
    """Thirds that differ by 2 %, 8 % and 29 % over 30 s. The values are valid JSON."""
    data = evidence(_flow(turn, rates), phase(0.0, 31.0))
    check = server_checks.stability(data, LIMITS)
    assert check.outcome is outcome
    json.dumps([check.value, check.flag_limit, check.invalid_limit], allow_nan=False)


def test_stability_within_its_noise_passes(turn: Any, evidence: Any, phase: Any) -> None:
    """Bursts of random size: the thirds differ by more than 5 % by chance."""
    numbers = np.random.default_rng(5)
    turns = []
    for k in range(60):
        count = int(numbers.integers(40, 160))
        turns.append(turn(k * 0.5, [k * 0.5 + 0.4] * count))
    turns.append(turn(30.0, [30.1]))
    check = server_checks.stability(evidence(turns, phase(0.0, 31.0)), LIMITS)
    assert check.value is not None and 0.05 < check.value < 0.20
    assert check.outcome is OK and "noise" in check.evidence


def _arriving(turn: Any, evidence: Any, phase: Any, times: Any, tokens: int = 20) -> Any:
    """An open loop with requests of 1 s."""
    turns = [
        turn(float(t), [t + (i + 1) / tokens for i in range(tokens)], session=k)
        for k, t in enumerate(times)
    ]
    return evidence(turns, phase(0.0, 62.0, concurrency=None, rate_per_s=1.0))


def test_stability_of_random_arrivals(turn: Any, evidence: Any, phase: Any) -> None:
    """Thirds of a Poisson process of one request per second differ by tens of percent by chance;
    those of regular arrivals do not.
    """
    times = np.cumsum(np.random.default_rng(3).exponential(1.0, 60))
    check = server_checks.stability(_arriving(turn, evidence, phase, times), LIMITS)
    assert check.value is not None and check.value > 0.20
    assert check.outcome is OK and "noise" in check.evidence
    check = server_checks.stability(_arriving(turn, evidence, phase, np.arange(60.0)), LIMITS)
    assert check.value == pytest.approx(0.0, abs=0.03) and check.outcome is OK


def test_stability_of_a_ramp_is_not_assessed(turn: Any, evidence: Any, phase: Any) -> None:
    """The output follows a schedule that rises from 0 to 20 requests per second."""
    times = 60.0 * np.sqrt(np.arange(600) / 600)
    check = server_checks.stability(_arriving(turn, evidence, phase, times, tokens=4), LIMITS)
    assert check.outcome is NOT_ASSESSED
    assert "schedule" in check.evidence


def test_stability_ignores_the_ramp_of_an_open_loop(turn: Any, evidence: Any, phase: Any) -> None:
    """Regular arrivals of requests of 7 s: in its first seconds any server generates less."""
    turns = [
        turn(k / 4, [k / 4 + 0.07 * (i + 1) for i in range(100)], session=k) for k in range(121)
    ]
    data = evidence(turns, phase(0.0, 38.0, concurrency=None, rate_per_s=4.0))
    check = server_checks.stability(data, LIMITS)
    assert check.outcome is OK
    assert check.value == pytest.approx(0.0, abs=0.02)


def test_stability_counts_tokens_not_chunks(turn: Any, evidence: Any, phase: Any) -> None:
    """Equal chunks per third, but twice the tokens in the last."""
    turns = [
        turn(float(k), [k + 0.1 * i for i in range(1, 11)], tokens=[2 if k >= 20 else 1] * 10)
        for k in range(31)
    ]
    check = server_checks.stability(evidence(turns, phase(0.0, 31.0)), LIMITS)
    assert check.value == pytest.approx(0.75, abs=0.02)  # (20 - 10) / 13.3
    assert check.outcome is INVALID


@pytest.mark.parametrize(
    ("third_s", "e2e_s"),
    [(5.0, 1.0), (10.0, 10.0)],
)
def test_stability_of_short_points_is_not_assessed(
    turn: Any, evidence: Any, phase: Any, third_s: float, e2e_s: float
) -> None:
    """15 s are too short; so are 30 s of requests of 10 s: fewer than 3 generations."""
    turns = _flow(turn, [100, 50, 200], third_s=third_s, e2e_s=e2e_s)[:-1]
    check = server_checks.stability(evidence(turns, phase(0.0, 31.0)), LIMITS)
    assert check.outcome is NOT_ASSESSED
    assert "generations of requests, 20 s and 3 needed; raise --duration" in check.evidence


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"longest_gap_s": 1.0, "throttled_share": 0.005, "clock_of_peers": 0.9}, OK),
        ({"longest_gap_s": 3.5}, FLAGGED),
        ({"longest_gap_s": 1.0, "throttled_share": 0.02}, FLAGGED),
        ({"longest_gap_s": 1.0, "power_limited": True}, FLAGGED),
        ({"longest_gap_s": 1.0, "clock_of_peers": 0.65}, FLAGGED),
        ({"longest_gap_s": 1.0, "metrics": {"energy_counter_ratio.accelerator": 0.0}}, FLAGGED),
        ({"longest_gap_s": 1.0, "metrics": {"energy_counter_ratio.accelerator": 1.1}}, OK),
        ({}, NOT_ASSESSED),
        ({"longest_gap_s": 9.0, "accelerated": False}, NOT_ASSESSED),
    ],
)
def test_accelerators(
    evidence: Any, phase: Any, changes: dict[str, Any], outcome: CheckOutcome
) -> None:
    """Each fault alone is flagged; not assessed without telemetry or accelerators."""
    data = evidence([], phase(0.0, 1.0), **{"accelerated": True, **changes})
    assert server_checks.accelerators(data, LIMITS).outcome is outcome
