"""Throughput that depends on where the steady state begins and ends."""

from __future__ import annotations

import random
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.measure.estimates import estimates
from tokenbench.measure.precision import needs_repeat, precision
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.measure.window_ends import relative_deviations

from .conftest import build_evidence, build_phase, build_turn

LIMITS = CertificationThresholds()
RATES = ("output_tok_s.steady", "input_tok_s.steady", "total_tok_s.steady", "req_s.steady")


def in_step(length_s: float, *, users: int, cycle_s: float, waiting: float, tokens: int) -> Any:
    """A closed loop whose users send, wait for a share of the cycle, and receive together."""
    turns = []
    for cycle in range(int(length_s / cycle_s) + 1):
        sent = cycle * cycle_s
        step = cycle_s * (1 - waiting) / tokens
        arrivals = [sent + cycle_s * waiting + step * (i + 1) for i in range(tokens)]
        turns += [build_turn(sent, arrivals) for _ in range(users)]
    return build_evidence(
        turns, build_phase(0.0, length_s, concurrency=users, stopped_by="duration")
    )


def open_loop(length_s: float, *, every_s: float, ttft_s: float, e2e_s: float, tokens: int) -> Any:
    """Arrivals at constant intervals at a server that is never full."""
    step = (e2e_s - ttft_s) / (tokens - 1)
    turns = []
    for k in range(int(length_s / every_s) + 1):
        sent = k * every_s
        turns.append(build_turn(sent, [sent + ttft_s + step * i for i in range(tokens)]))
    return build_evidence(turns, build_phase(0.0, length_s, concurrency=None))


@settings(max_examples=60, deadline=None)
@given(
    length_s=st.floats(8.0, 30.0),
    cycle_s=st.floats(0.3, 2.5),
    waiting=st.floats(0.02, 0.9),
    users=st.sampled_from((1, 4, 16)),
)
def test_requests_in_step(length_s: float, cycle_s: float, waiting: float, users: int) -> None:
    """Wherever the window ends, the true rate is within the interval of three equal repeats."""
    data = in_step(length_s, users=users, cycle_s=cycle_s, waiting=waiting, tokens=20)
    found = estimates([data] * 3)
    true = {"output_tok_s": 20, "input_tok_s": 10, "total_tok_s": 30, "req_s": 1}
    for name, per_request in true.items():
        metric = found[f"{name}.steady"]
        assert metric.mean is not None and metric.half_width is not None
        off = abs(metric.mean - users * per_request / cycle_s)
        assert off <= metric.half_width * 1.001 + 1e-9, name  # And rounding, where both are 0.


def test_a_real_server_in_step() -> None:
    """vLLM 0.32 on a CPU, 4 requests in flight of 1.63 s, 0.69 s of it for the first token: three
    repeats of 10 s counted 76.8 tok/s each, in the long run it made 78.6.
    """
    data = in_step(10.0, users=4, cycle_s=1.629, waiting=0.42, tokens=32)
    found = estimates([data] * 3)["output_tok_s.steady"]
    assert found.mean == pytest.approx(76.8)
    assert found.half_width == pytest.approx(1.9, abs=0.3)


@settings(max_examples=40, deadline=None)
@given(
    length_s=st.floats(8.0, 40.0),
    every_s=st.floats(0.05, 0.5),
    ttft_s=st.floats(0.01, 1.0),
    more_s=st.floats(0.1, 2.0),
)
def test_an_open_loop_begins_with_an_idle_server(
    length_s: float, every_s: float, ttft_s: float, more_s: float
) -> None:
    """The offered rate, which the server keeps up with, is within the interval."""
    e2e_s = ttft_s + more_s
    data = open_loop(length_s, every_s=every_s, ttft_s=ttft_s, e2e_s=e2e_s, tokens=20)
    found = estimates([data] * 3)["output_tok_s.steady"]
    assert found.mean is not None and found.half_width is not None
    # The window is a little shorter than the arrivals it counts.
    assert abs(found.mean - 20 / every_s) <= found.half_width + 20 / length_s


def test_an_even_stream_adds_little() -> None:
    """Requests out of step, as on a busy server: 2 % of 30 s."""
    draw = random.Random(1)
    turns = []
    for _ in range(16):
        at = draw.uniform(0, 1)
        while at < 30:
            turns.append(build_turn(at, [at + 0.1 + 0.045 * i for i in range(21)]))
            at += 1.0
    data = build_evidence(turns, build_phase(0.0, 30.0, concurrency=16))
    widths = relative_deviations([data] * 3)
    assert set(RATES) < set(widths)
    assert all(width < 0.02 for width in widths.values()), widths


def test_longer_repeats_are_what_helps() -> None:
    """The message says so, what it asks for is enough, and no repeat is added in vain."""
    short = in_step(10.0, users=2, cycle_s=3.8, waiting=0.9, tokens=20)
    metrics = estimates([short] * 3)
    check = precision([short] * 3, metrics, LIMITS, 0.1)
    assert check.outcome == "flagged"
    assert "by where the steady state begins and ends" in check.evidence
    seconds = int(re.search(r"--duration (\d+)", check.evidence)[1])  # type: ignore[index]
    assert not needs_repeat([short] * 3, metrics, LIMITS, 0.1)
    long = in_step(float(seconds), users=2, cycle_s=3.8, waiting=0.9, tokens=20)
    assert precision([long] * 3, estimates([long] * 3), LIMITS, 0.1).outcome == "ok"
    noisy = attrs.evolve(long, metrics={**long.metrics, "output_tok_s.steady": 20.0})
    repeats = [long, long, noisy]
    assert needs_repeat(repeats, estimates(repeats), LIMITS, 0.1)


def test_per_accelerator_and_goodput_have_the_same_width() -> None:
    """They are counted in the same window."""
    widths = relative_deviations([in_step(10.0, users=4, cycle_s=1.7, waiting=0.5, tokens=9)])
    for name in ("output_tok_s", "input_tok_s", "total_tok_s"):
        assert widths[f"{name}_per_accelerator.steady"] == widths[f"{name}.steady"]
    assert widths["goodput_req_s.steady"] == widths["req_s.steady"]


def test_nothing_measured() -> None:
    """No successful request, or no steady state: no width."""
    assert relative_deviations([build_evidence([], build_phase(0.0, 1.0))]) == {}
