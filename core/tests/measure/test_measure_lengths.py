"""The check of lengths: tokens by the server's usage against what the workload asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome
from tokenbench.load.records import ABSENT, TokenSource
from tokenbench.measure.lengths import lengths
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
    assert lengths(data, LIMITS).outcome is outcome


def _prompts(turn: Any, evidence: Any, phase: Any, asked: Any, n_in: Any, **changes: Any) -> Any:
    """20 requests; lengths are functions of their number."""
    turns = [turn(float(k), [k + 0.5], asked_in=asked(k), n_in=n_in(k)) for k in range(20)]
    return evidence(turns, phase(0.0, 20.0), **changes)


@pytest.mark.parametrize(
    ("form", "n_in", "outcome"),
    [
        ("chat", 100, OK),
        ("chat", 128, OK),  # the same extra tokens in all prompts are the template
        ("chat", 166, OK),  # at most 64 tokens of template: 1.2 % off
        ("chat", 169, FLAGGED),  # 3 %
        ("chat", 200, INVALID),  # 22 %
        ("chat", 97, FLAGGED),
        ("chat", 50, INVALID),
        ("text", 100, OK),
        ("text", 102, OK),  # BOS and EOS
        ("text", 104, OK),  # 2 % off
        ("text", 105, FLAGGED),
        ("text", 128, INVALID),  # a text prompt has no template
        ("text", 99, OK),
        ("token ids", 100, OK),
        ("token ids", 101, OK),
        ("token ids", 103, FLAGGED),
        ("token ids", 111, INVALID),
    ],
)
def test_input_lengths(
    turn: Any, evidence: Any, phase: Any, form: str, n_in: int, outcome: CheckOutcome
) -> None:
    """Flagged above 2 % of 100 requested tokens, invalid above 10 %. Extra tokens are allowed only
    where they can exist: a template in a chat, BOS and EOS around a text.
    """
    data = _prompts(turn, evidence, phase, lambda _: 100, lambda _: n_in, prompt_form=form)
    assert lengths(data, LIMITS).outcome is outcome


@pytest.mark.parametrize("form", ["chat", "text", "token ids"])
@pytest.mark.parametrize("varied", [0, 10], ids=["one length", "several lengths"])
def test_twice_the_prompt_is_invalid(
    turn: Any, evidence: Any, phase: Any, form: str, varied: int
) -> None:
    """A server that counts 2,162 tokens where 1,024 were asked: in no form a template."""
    data = _prompts(
        turn,
        evidence,
        phase,
        lambda k: 1024 - varied * k,
        lambda k: round((1024 - varied * k) * 2162 / 1024),
        prompt_form=form,
    )
    check = lengths(data, LIMITS)
    assert check.outcome is INVALID
    assert f"{1024 - 9.5 * varied:.0f} asked" in check.evidence


def test_long_template_shows_in_prompts_of_different_lengths(
    turn: Any, evidence: Any, phase: Any
) -> None:
    """300 extra tokens for any prompt length are a chat's template, not a text's; a third more
    tokens are not.
    """
    for form, extra, outcome in (
        ("chat", lambda length: length + 300, OK),
        ("chat", lambda length: length * 4 // 3, INVALID),
        ("chat", lambda length: length * 104 // 100 + 20, FLAGGED),  # 4 % more and a template
        ("text", lambda length: length + 300, INVALID),
        ("token ids", lambda length: length + 300, INVALID),
    ):
        data = _prompts(
            turn,
            evidence,
            phase,
            lambda k: 800 + 10 * k,
            lambda k, extra=extra: extra(800 + 10 * k),
            prompt_form=form,
        )
        assert lengths(data, LIMITS).outcome is outcome


def test_lengths_report_faults_of_both_sides(turn: Any, evidence: Any, phase: Any) -> None:
    """Correct outputs do not hide wrong prompts; only what is wrong is reported."""
    both = [
        turn(float(k), [k + 0.5], asked_in=100, n_in=300, asked_out=1, exact_output=1)
        for k in range(20)
    ]
    check = lengths(evidence(both, phase(0.0, 20.0), prompt_form="chat"), LIMITS)
    assert check.outcome is INVALID
    assert check.evidence == (
        "mean error of prompt lengths 82.93 %, template 64 tokens; limit 10 %; "
        "prompts have 300 tokens, 100 asked: check the tokenizer and the chat template"
    )
    both[3] |= {"n_out": 2}
    check = lengths(evidence(both, phase(0.0, 20.0), prompt_form="text"), LIMITS)
    assert "95.0 % of 20 responses have the requested length" in check.evidence
    assert "300 tokens, 100 asked" in check.evidence


def test_lengths_that_were_not_asked(turn: Any, evidence: Any, phase: Any) -> None:
    """Plausible counts pass; without any successful request there is nothing to assess."""
    free = evidence([turn(0.0, [1.0], asked_out=100)], phase(0.0, 1.0))
    assert lengths(free, LIMITS).outcome is OK
    assert lengths(evidence([], phase(0.0, 1.0)), LIMITS).outcome is NOT_ASSESSED


@pytest.mark.parametrize(
    ("asked", "missing", "outcome", "text"),
    [
        (100, {"n_in": ABSENT, "n_out": ABSENT, "token_source": TokenSource.NONE}, FLAGGED,
         "the server reports no usage: token counts and token rates are unknown"),
        (ABSENT, {"n_in": ABSENT, "n_out": ABSENT, "token_source": TokenSource.NONE}, FLAGGED,
         "the server reports no usage: token counts and token rates are unknown"),
        (100, {"n_in": ABSENT, "token_source": TokenSource.CHUNKS}, FLAGGED,
         "the server reports no prompt tokens: prompt lengths and input rates are unknown"),
    ],
    ids=["no usage", "no usage, no length asked", "chunks only"],
)  # fmt: skip
def test_no_usage(
    turn: Any, evidence: Any, phase: Any,
    asked: int, missing: dict[str, Any], outcome: CheckOutcome, text: str,
) -> None:  # fmt: skip
    """Flagged with the true reason, whether lengths were asked for or not."""
    turns = [turn(float(k), [k + 0.5], asked_in=asked, **missing) for k in range(20)]
    check = lengths(evidence(turns, phase(0.0, 20.0)), LIMITS)
    assert check.outcome is outcome
    assert check.evidence == text


def test_usage_that_is_missing_now_and_then(turn: Any, evidence: Any, phase: Any) -> None:
    """One response of twenty is enough: rates over all of them are unknown."""
    turns = [turn(float(k), [k + 0.5], asked_in=10) for k in range(20)]
    turns[7] |= {"n_in": ABSENT, "n_out": ABSENT}
    check = lengths(evidence(turns, phase(0.0, 20.0)), LIMITS)
    assert check.outcome is FLAGGED
    assert "no usage for 1 of 20 requests" in check.evidence


@pytest.mark.parametrize("n_in", [100, 130])
def test_approximate_lengths_are_never_certified(
    turn: Any, evidence: Any, phase: Any, n_in: int
) -> None:
    """Flagged, never invalid, with the measured mean length."""
    data = _prompts(turn, evidence, phase, lambda _: 100, lambda _: n_in, approximate_lengths=True)
    check = lengths(data, LIMITS)
    assert check.outcome is FLAGGED
    assert check.evidence.startswith(
        f"approximate prompt lengths: mean {n_in} tokens, 100 asked (mean error "
    )


@pytest.mark.parametrize(
    ("n_out", "outcome"),
    [(20, OK), (5, INVALID), (0, INVALID), (31, INVALID)],
)
def test_impossible_token_counts(
    turn: Any, evidence: Any, phase: Any, n_out: int, outcome: CheckOutcome
) -> None:
    """10 chunks with 5 tokens, or more tokens than the limit of 30: usage that lies, in a workload
    without exact lengths.
    """
    turns = [
        turn(float(k), [k + 0.05 * i for i in range(1, 11)], n_out=n_out, asked_out=30)
        for k in range(20)
    ]
    check = lengths(evidence(turns, phase(0.0, 20.0)), LIMITS)
    assert check.outcome is outcome
    assert ("impossible token count" in check.evidence) == (outcome is INVALID)
