"""Certification limits parsed from a suite's ``certification:``."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from tokenbench.measure import client_checks
from tokenbench.measure.thresholds import CertificationThresholds, Limits, thresholds_from


def test_changed_limits() -> None:
    """Both limits, one, none; numbers and lists. Other keys keep their defaults."""
    made = thresholds_from(
        {
            "client_cpu_share": {"flag": 0.9, "invalid": 0.99},
            "offered_load": {"flag": 0.95},
            "failure_share": {"invalid": None},
            "pause_share": {},
            "telemetry_gap_s": 5,
            "min_requests": 20,
            "precision_metrics": ["ttft_s.p50"],
        }
    )
    assert made == attrs.evolve(
        CertificationThresholds(),
        client_cpu_share=Limits(flag=0.9, invalid=0.99),
        offered_load=Limits(flag=0.95, invalid=0.90),
        failure_share=Limits(flag=0.0),
        telemetry_gap_s=5.0,
        min_requests=20,
        precision_metrics=("ttft_s.p50",),
    )
    assert thresholds_from({}) == CertificationThresholds()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"client_cpu": {}}, "client_cpu: unknown; did you mean 'client_cpu_share'?"),
        ({"zzz": 1}, "zzz: unknown; expected one of loop_delay_share, "),
        ({"failure_share": {"flg": 1}}, "failure_share.flg: unknown; did you mean 'flag'?"),
        ({"failure_share": 0.1}, "failure_share: expected flag and invalid, got 0.1"),
        ({"failure_share": {"flag": "5%"}}, 'failure_share.flag: expected a number, got "5%"'),
        ({"failure_share": {"flag": True}}, "failure_share.flag: expected a number, got true"),
        ({"failure_share": {"flag": None}}, "failure_share.flag: expected a number, got null"),
        (
            {"failure_share": {"invalid": -1}},
            "failure_share.invalid: expected a non-negative number",
        ),
        ({"telemetry_gap_s": float("nan")}, "telemetry_gap_s: expected a non-negative number"),
        ({"telemetry_gap_s": {"flag": 1}}, "telemetry_gap_s: expected a number, got a mapping"),
        (
            {"client_cpu_share": {"flag": 85, "invalid": None}},
            "client_cpu_share.flag: expected a s",
        ),
        ({"slowdown_share": 1.1}, "slowdown_share: expected a share between 0 and 1"),
        ({"min_requests": {"a": 1}}, "min_requests: expected an integer, got a mapping"),
        ({"telemetry_gap_s": 10**400}, "telemetry_gap_s: the number is too large"),
        ({"precision_metrics": [["ttft_s.p50"]]}, "precision_metrics[0]: expected a metric, got a"),
        ({"precision_metrics": ["ttft_s.p50"] * 2}, "precision_metrics: a metric is given twice"),
        ({"min_requests": 1.5}, "min_requests: expected an integer, got 1.5"),
        ({"precision_metrics": "ttft_s.p50"}, "precision_metrics: expected a list of metrics"),
        ({"precision_metrics": ["ttft"]}, "precision_metrics[0]: ttft: unknown"),
        ({"client_cpu_share": {"flag": 0.98}}, "client_cpu_share: invalid (0.97) must not be"),
        ({"offered_load": {"invalid": 0.99}}, "offered_load: invalid (0.99) must not be less"),
    ],
)
def test_wrong_limits_are_named_with_their_path(data: dict[str, Any], message: str) -> None:
    """Unknown keys, wrong types, `invalid` less strict than `flag`."""
    with pytest.raises(ValueError, match=re.escape(message)):
        thresholds_from(data)


def test_check_names_its_limits(evidence: Any, phase: Any) -> None:
    """As fields, and the exceeded one in the evidence."""
    limits = thresholds_from({"client_cpu_share": {"flag": 0.5, "invalid": 0.6}})
    check = client_checks.cpu(evidence([], phase(0.0, 10.0, cpu_share=0.55)), limits)
    assert (check.outcome.value, check.flag_limit, check.invalid_limit) == ("flagged", 0.5, 0.6)
    assert check.evidence.startswith("a load worker used 55.0 % of a CPU core; limit 50 %; ")
