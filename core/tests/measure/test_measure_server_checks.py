"""Failures, prefix cache, server agreement: a case for each outcome."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome, Counters
from tokenbench.load.records import ABSENT, Status
from tokenbench.measure import server_checks
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, INVALID = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.INVALID
NOT_ASSESSED = CheckOutcome.NOT_ASSESSED


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
        prompt_form="chat",
        before=Counters(prompt_tokens=7.0, cached_prompt_tokens=5.0),
        after=Counters(prompt_tokens=2007.0, cached_prompt_tokens=5.0 + hits),
    )
    assert server_checks.prefix_cache(counted, LIMITS).outcome is outcome
    reported = [dict(t, n_cached=hits // 20 + (k < hits % 20)) for k, t in enumerate(turns)]
    by_usage = evidence(reported, phase(0.0, 20.0), prompt_form="chat")
    assert server_checks.prefix_cache(by_usage, LIMITS).outcome is outcome


@pytest.mark.parametrize("form", ["text", "token ids"])
def test_no_template_is_subtracted_where_none_can_be(
    turn: Any, evidence: Any, phase: Any, form: str
) -> None:
    """15 cached tokens of each prompt are hits unless the prompts are chats."""
    turns = [turn(float(k), [k + 0.5], n_in=100, asked_in=85, n_cached=15) for k in range(20)]
    data = evidence(turns, phase(0.0, 20.0), prompt_form=form)
    assert server_checks.prefix_cache(data, LIMITS).outcome is INVALID


def test_prefix_cache_without_the_counters_it_needs(turn: Any, evidence: Any, phase: Any) -> None:
    """A failed scrape is a fault with its reason, unless usage reports the hits."""
    failed = {"scrape_error": "timed out after 5 s"}
    data = evidence([turn(0.0, [1.0])], phase(0.0, 1.0), **failed)
    check = server_checks.prefix_cache(data, LIMITS)
    assert check.outcome is FLAGGED and "timed out after 5 s" in check.evidence
    data = evidence([turn(0.0, [1.0], n_cached=0)], phase(0.0, 1.0), **failed)
    assert server_checks.prefix_cache(data, LIMITS).outcome is OK


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
        (2000, -50, FLAGGED),
    ],
)
def test_server_agreement(
    turn: Any, evidence: Any, phase: Any,
    server_in: float, server_out: float, outcome: CheckOutcome,
) -> None:  # fmt: skip
    """The client counts 2000 in and 1000 out; the worse side counts; a restart is flagged."""
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
    restarted = "it was restarted" in check.evidence
    assert restarted == (server_out < 0)
    assert restarted or all(text in check.evidence for text in texts)


@pytest.mark.parametrize(
    ("turns", "changes", "outcome", "reason"),
    [
        ({}, {"before": None, "after": None}, NOT_ASSESSED, "the engine has no counters"),
        ({"status": Status.BROKEN}, {}, NOT_ASSESSED, "failed requests have no comparable"),
        (
            {},
            {"after": None, "scrape_error": "HTTP 404"},
            FLAGGED,
            "counters could not be read: HTTP 404",
        ),
        (
            {},
            {"before": Counters(running=0.0), "after": Counters(running=1.0)},
            FLAGGED,
            "the metrics page has no token counters",
        ),
        ({"n_out": ABSENT}, {}, FLAGGED, "the server's responses report no usage"),
    ],
    ids=["no counters", "failures", "scrape failed", "other counters", "no usage"],
)
def test_server_agreement_that_cannot_be_judged(
    turn: Any, evidence: Any, phase: Any,
    turns: dict[str, Any], changes: dict[str, Any], outcome: CheckOutcome, reason: str,
) -> None:  # fmt: skip
    """Not assessed only without counters or with failures; else it is flagged with the reason."""
    around = {"before": Counters(generated_tokens=0.0), "after": Counters(generated_tokens=9.0)}
    data = evidence([turn(0.0, [1.0], **turns)], phase(0.0, 1.0), **{**around, **changes})
    check = server_checks.server_agreement(data, LIMITS)
    assert check.outcome is outcome
    assert check.evidence.startswith(reason)


def test_a_rate_limit_has_a_hint_of_its_own(turn: Any, evidence: Any, phase: Any) -> None:
    """It is the server's policy, not a fault that its log explains; the class is named."""
    turns = [turn(0.0, [], status=Status.RATE_LIMITED), turn(0.0, [1.0])]
    check = server_checks.failures(evidence(turns, phase(0.0, 1.0)), LIMITS)
    assert "1 rate_limited" in check.evidence and "--rate" in check.evidence
    turns[0]["status"] = Status.HTTP
    check = server_checks.failures(evidence(turns, phase(0.0, 1.0)), LIMITS)
    assert "--rate" not in check.evidence and "log" in check.evidence


def test_failures_name_retries(turn: Any, evidence: Any, phase: Any) -> None:
    """Requests that were sent again are counted in the evidence; they are no failures."""
    turns = [turn(float(k), [k + 0.5], retries=int(k < 2)) for k in range(20)]
    check = server_checks.failures(evidence(turns, phase(0.0, 20.0)), LIMITS)
    assert check.outcome is OK
    assert "; 2 sent again on a new connection" in check.evidence


def test_failures_of_few_requests(turn: Any, evidence: Any, phase: Any) -> None:
    """One of five is a fifth: the share counts below 10 requests, too."""
    turns = [turn(float(k), [k + 0.5], status=Status.HTTP if k == 2 else 0) for k in range(5)]
    assert server_checks.failures(evidence(turns, phase(0.0, 5.0)), LIMITS).outcome is INVALID
