"""Metrics of a repeat against numbers computed by hand and loads with known results."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.load.records import ABSENT, Status
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE
from tokenbench.measure.client_checks import withhold_itl
from tokenbench.measure.definitions import BY_NAME, STATISTICS
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.session_definitions import SESSION_METRICS
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.measure.window import steady_window
from tokenbench.suite.slo import parse_objectives


def test_every_time_of_one_request_by_hand(turn: Any, arrays: Any, phase: Any) -> None:
    """Each latency is the difference of the two timestamps in its definition."""
    one = turn(10.5, [11.0, 11.2, 11.6], scheduled=10.0, sent_last=10.6, tokens=[1, 1, 2], n_in=7)
    records, chunks = arrays([one])
    found = measure_repeat(records, chunks, phase(10.0, 12.0), accelerators=2)
    expected = {
        "ttft_s.p50": 0.5,
        "upload_s.p50": 0.1,
        "dispatch_delay_s.p50": 0.5,
        "ttft_from_schedule_s.p50": 1.0,
        "e2e_s.p50": 1.1,
        "e2e_from_schedule_s.p50": 1.6,
        "tpot_s.p50": 0.2,  # 0.6 s / (4 - 1)
        "itl_chunk_s.mean": 0.3,  # (0.2 + 0.4) / 2
        "itl_token_s.mean": 0.2,  # 0.2, 0.2, 0.2
        "interactivity_tok_s.p50": 5.0,
        "normalised_interactivity_tok_s": 4 / 1.1,
        "output_tok_s.whole": 2.0,  # 4 tokens in 2 s
        "input_tok_s.whole": 3.5,
        "total_tok_s.whole": 5.5,
        "total_tok_s_per_accelerator.whole": 2.75,
        "req_s.whole": 0.5,
        "requests_ok": 1.0,
        "requests_failed": 0.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_computed_metrics_are_the_defined_ones(turn: Any, arrays: Any, phase: Any) -> None:
    """All except those of telemetry, of the server's counters and of sessions, also for an empty
    repeat.
    """
    elsewhere = ("energy", "power", "idle_power", "clock", "retries")
    defined = {
        name for name in BY_NAME if not name.startswith(elsewhere) and not name.endswith(".server")
    } - {name for name, *_ in SESSION_METRICS}
    for turns in ([], [turn(0.0, [1.0])]):
        found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=0)
        assert set(found) == defined


def test_metrics_that_were_not_measured_are_none(turn: Any, arrays: Any, phase: Any) -> None:
    """Fewer requests than the concurrency have no steady state, one token has no TPOT; without
    accelerators there is no rate per accelerator.
    """
    found = measure_repeat(
        *arrays([turn(0.0, [1.0])]), phase(0.0, 2.0, concurrency=2), accelerators=0
    )
    absent = [
        *(f"{name}.steady" for name in ("output_tok_s", "input_tok_s", "total_tok_s", "req_s")),
        *(f"tpot_s.{s}" for s in STATISTICS),
        *(f"interactivity_tok_s.{s}" for s in STATISTICS),
        "duration_s.steady",
        "output_tok_s_per_accelerator.whole",
        "goodput_req_s.whole",
        "output_tok_s_per_decode_accelerator.whole",
    ]
    assert [name for name in absent if found[name] is not None] == []
    empty = measure_repeat(*arrays([]), phase(0.0, 0.0), accelerators=1)
    assert {v for n, v in empty.items() if v is not None} == {0.0}
    assert {n for n, v in empty.items() if v is not None} == {"requests_ok", "requests_failed"}


@pytest.mark.parametrize("unknown", ["n_in", "n_out"])
def test_unknown_token_count_makes_throughput_unknown(
    turn: Any, arrays: Any, phase: Any, unknown: str
) -> None:
    """A single request without a count is enough."""
    turns = [turn(0.0, [0.5, 1.0]), turn(1.0, [1.5, 2.0], **{unknown: ABSENT})]
    found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=1)
    side = "input" if unknown == "n_in" else "output"
    for window in ("whole", "steady"):
        assert found[f"{side}_tok_s.{window}"] is None
        assert found[f"total_tok_s.{window}"] is None


@settings(max_examples=60, deadline=None)
@given(
    concurrency=st.integers(1, 8),
    rounds=st.integers(2, 12),
    n_out=st.integers(2, 20),
    ttft_ms=st.integers(1, 400),
    tpot_ms=st.integers(1, 50),
)
def test_closed_loop_with_known_results(
    turn: Any, arrays: Any, phase: Any,
    concurrency: int, rounds: int, n_out: int, ttft_ms: int, tpot_ms: int,
) -> None:  # fmt: skip
    """C requests in step in rounds of length T: steady output is C * n / T. Dispatching ends with
    the last round.
    """
    period = (ttft_ms + tpot_ms * (n_out - 1)) / 1e3
    turns = []
    for number in range(rounds):
        begin = 5.0 + number * period
        timestamps = [begin + (ttft_ms + tpot_ms * i) / 1e3 for i in range(n_out)]
        turns += [turn(begin, timestamps, n_in=3) for _ in range(concurrency)]
    end = 5.0 + rounds * period
    found = measure_repeat(*arrays(turns), phase(5.0, end, concurrency=concurrency), accelerators=4)
    assert found["duration_s.steady"] == pytest.approx(rounds * period)
    assert found["output_tok_s.steady"] == pytest.approx(concurrency * n_out / period)
    assert found["input_tok_s.steady"] == pytest.approx(concurrency * 3 / period)
    assert found["req_s.steady"] == pytest.approx(concurrency / period)
    assert found["output_tok_s.whole"] == pytest.approx(concurrency * n_out / period)
    assert found["output_tok_s_per_accelerator.steady"] == pytest.approx(
        concurrency * n_out / period / 4
    )
    assert found["ttft_s.p99_9"] == pytest.approx(ttft_ms / 1e3)
    assert found["tpot_s.mean"] == pytest.approx(tpot_ms / 1e3)
    assert found["itl_chunk_s.p50"] == pytest.approx(tpot_ms / 1e3)
    assert found["interactivity_tok_s.p99"] == pytest.approx(1e3 / tpot_ms)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.floats(0.001, 2)), min_size=1))
def test_percentiles_are_exact(
    turn: Any, arrays: Any, phase: Any, times: list[tuple[float, float, float]]
) -> None:
    """Statistics equal numpy's over the values of all requests."""
    turns = [turn(s + d, [s + d + t, s + d + 3 * t], scheduled=s) for s, d, t in times]
    found = measure_repeat(*arrays(turns), phase(0.0, 20.0), accelerators=1)
    for name, values in (
        ("dispatch_delay_s", [d for _, d, _ in times]),
        ("ttft_s", [t for _, _, t in times]),
        ("tpot_s", [2 * t for _, _, t in times]),
        ("e2e_from_schedule_s", [d + 3 * t for _, d, t in times]),
    ):
        assert found[f"{name}.mean"] == pytest.approx(np.mean(values), abs=1e-8)
        for statistic, q in (("p50", 50), ("p90", 90), ("p99_9", 99.9)):
            assert found[f"{name}.{statistic}"] == pytest.approx(np.percentile(values, q), abs=1e-8)


def test_interactivity_is_the_reciprocal_of_tpot(turn: Any, arrays: Any, phase: Any) -> None:
    """Of the same percentile, so a high percentile describes a slow user."""
    turns = [turn(0.0, [1.0, 1.0 + 0.01 * k]) for k in range(1, 101)]
    found = measure_repeat(*arrays(turns), phase(0.0, 3.0), accelerators=1)
    for statistic in STATISTICS:
        tpot = found[f"tpot_s.{statistic}"]
        assert found[f"interactivity_tok_s.{statistic}"] == pytest.approx(1 / tpot)
    assert found["interactivity_tok_s.p99"] < found["interactivity_tok_s.p50"]


def test_failed_and_cancelled_requests_have_no_latency(turn: Any, arrays: Any, phase: Any) -> None:
    """They change no percentile; failed ones are counted, cancelled ones are not."""
    good = [turn(float(k), [k + 0.5, k + 1.0]) for k in range(3)]
    bad = [
        turn(3.0, [9.0], status=Status.TIMEOUT),
        turn(3.0, [], status=Status.HTTP, http_status=500, n_in=ABSENT, n_out=ABSENT),
        turn(3.0, [], status=Status.CANCELLED, n_in=ABSENT, n_out=ABSENT),
    ]
    found = measure_repeat(*arrays(good + bad), phase(0.0, 9.0), accelerators=1)
    alone = measure_repeat(*arrays(good), phase(0.0, 9.0), accelerators=1)
    assert (found["requests_ok"], found["requests_failed"]) == (3.0, 2.0)
    for name in ("ttft_s.p99", "e2e_s.mean", "tpot_s.p50", "output_tok_s.whole"):
        assert found[name] == alone[name]


def test_tokens_of_chunks_without_a_count_are_spread_evenly(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """Two chunks, six tokens: three count at the arrival of each chunk."""
    turns = [turn(0.0, [1.0, 3.0], n_out=6), turn(2.0, [4.0], n_out=0)]
    found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=1)
    # Steady from 0 s to 2 s: one of the two chunks.
    assert found["output_tok_s.steady"] == pytest.approx(3 / 2)
    assert found["itl_token_s.mean"] is None


def test_first_chunk_without_a_count_has_the_rest(turn: Any, arrays: Any, phase: Any) -> None:
    """Continuous usage may omit the first chunk; `n_out` gives its count."""
    turns = [turn(0.0, [1.0, 1.3], tokens=[-1, 3], n_out=5), turn(2.0, [4.0, 4.3], tokens=[2, 3])]
    found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=1)
    assert found["itl_token_s.p99"] == pytest.approx(0.1)
    assert found["output_tok_s.steady"] == pytest.approx(5 / 2)


def test_chunk_without_a_token_lengthens_the_next_gap(turn: Any, arrays: Any, phase: Any) -> None:
    """A chunk reported with no token must not shorten the gaps between tokens."""
    found = measure_repeat(
        *arrays([turn(0.0, [1.0, 1.2, 1.4], tokens=[1, 0, 1])]), phase(0.0, 2.0), accelerators=1
    )
    assert found["itl_token_s.p50"] == pytest.approx(0.4)


def test_no_tpot_without_streaming(turn: Any, arrays: Any, phase: Any) -> None:
    """A response in one chunk has no time between tokens."""
    found = measure_repeat(*arrays([turn(0.0, [2.0], n_out=50)]), phase(0.0, 3.0), accelerators=1)
    assert found["tpot_s.mean"] is None and found["itl_chunk_s.mean"] is None
    assert found["e2e_s.mean"] == pytest.approx(2.0)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_records_and_chunks_does_not_matter(
    turn: Any, arrays: Any, phase: Any, order: list[int]
) -> None:
    """Turns end in any order, and their chunks are written in that order."""
    turns = [turn(k * 0.5, [k + 1.0, k + 1.1, k + 1.5], tokens=[1, 2, k]) for k in range(6)]
    straight = measure_repeat(*arrays(turns), phase(0.0, 9.0), accelerators=1)
    mixed = measure_repeat(*arrays([turns[k] for k in order]), phase(0.0, 9.0), accelerators=1)
    assert mixed == pytest.approx(straight)


def test_stall_that_stops_dispatching_is_part_of_the_steady_state(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """A closed loop of 4 for 40 s on a server that is frozen from 5 s to 35 s. Only what arrived
    counts, over all 40 s: the gap after the last dispatch before the freeze belongs to it.
    """
    frozen, length_s, n_out = (5.0, 35.0), 0.5, 50
    turns, arrived = [], 0
    for stream in range(4):
        at = stream * 0.1
        while at < 40.0:
            times = [at + length_s * (i + 1) / n_out for i in range(n_out)]
            times = [t if t < frozen[0] or at >= frozen[1] else t + 30.0 for t in times]
            turns.append(turn(at, times))
            arrived += sum(0.3 <= t <= 40.0 for t in times)
            at = times[-1]
    end = max(t["last"] for t in turns)
    dispatched = phase(0.0, end, concurrency=4, dispatch_ended_ns=40 * 10**9)
    found = measure_repeat(*arrays(turns), dispatched, accelerators=1)
    assert found["duration_s.steady"] == pytest.approx(39.7)
    assert found["output_tok_s.steady"] == pytest.approx(arrived / 39.7, rel=0.01)
    assert found["output_tok_s.steady"] == pytest.approx(4 * 100 * 10 / 40, rel=0.03)


def test_frozen_at_the_end_of_dispatching(turn: Any, arrays: Any, phase: Any) -> None:
    """A server that answers for 10 s and then freezes for 30 s: 319 tok/s until its last dispatch,
    but a quarter of that over the 40 s in which it should have answered.
    """
    turns = [turn(k / 10, [k / 10 + 0.0031 * (i + 1) for i in range(32)]) for k in range(100)]
    turns.append(turn(10.0, [40.1]))
    found = measure_repeat(
        *arrays(turns), phase(0.0, 40.2, dispatch_ended_ns=40 * 10**9), accelerators=1
    )
    assert found["output_tok_s.steady"] == pytest.approx(3200 / 40, rel=0.01)


def test_steady_state_of_an_open_loop(turn: Any, arrays: Any, phase: Any) -> None:
    """From the first to the last scheduled arrival; later turns of a session are not arrivals."""
    turns = [
        turn(1.5, [2.0], scheduled=1.0),
        turn(3.0, [4.0], scheduled=2.5),
        turn(8.0, [9.0], scheduled=8.0, turn=1),
    ]
    window = steady_window(arrays(turns)[0], phase(0.0, 9.0, concurrency=None, rate_per_s=1.0))
    assert (window.start_ns, window.end_ns) == (1_000_000_000, 2_500_000_000)


@pytest.mark.parametrize(
    ("slo", "good", "good_in_steady_state"),
    [
        ("ttft<500ms", 2, 1),
        ("tpot<1s", 2, 2),
        ("e2e<500ms", 1, 1),
        ("ttft<500ms,tpot<1s", 1, 1),
        ("e2e<2s", 3, 2),
        ("e2e<1us", 0, 0),
    ],
)
def test_goodput(
    turn: Any, arrays: Any, phase: Any, slo: str, good: int, good_in_steady_state: int
) -> None:
    """Counts the requests that meet every objective; the steady state is from 0 s to 2 s."""
    turns = [
        turn(0.0, [0.1, 0.2]),
        turn(1.0, [1.9, 2.0]),  # slow TTFT
        turn(2.0, [2.1, 3.9]),  # slow TPOT
    ]
    objectives = parse_objectives(slo, where="--slo")
    dispatched = phase(0.0, 4.0, dispatch_ended_ns=2_000_000_000)
    found = measure_repeat(*arrays(turns), dispatched, accelerators=1, objectives=objectives)
    assert found["goodput_req_s.whole"] == pytest.approx(good / 4)
    assert found["goodput_req_s.steady"] == pytest.approx(good_in_steady_state / 2)


@pytest.mark.parametrize(
    ("changes", "slo", "known"),
    [
        ({}, "tpot<1s", True),
        ({"n_out": -1}, "tpot<1s", False),  # without usage
        ({"n_out": -1}, "ttft<1s", True),
        ({"n_out": 1}, "tpot<1s", True),
        ({"last": 0.1}, "tpot<1s", True),  # one answer in one chunk
    ],
)
def test_goodput_needs_what_its_objectives_limit(
    turn: Any, arrays: Any, phase: Any, changes: dict[str, Any], slo: str, known: bool
) -> None:
    """A request of unknown TPOT does not count as fast; one of a single token has none to limit."""
    turns = [turn(0.0, [0.1, 0.2]), turn(0.0, [0.1, 0.2], **changes)]
    objectives = parse_objectives(slo, where="--slo")
    found = measure_repeat(*arrays(turns), phase(0.0, 4.0), accelerators=1, objectives=objectives)
    assert found["goodput_req_s.whole"] == (pytest.approx(0.5) if known else None)
    buffered = [turn(0.0, [0.1, 0.1]), turn(0.0, [0.2, 0.2])]
    found = measure_repeat(
        *arrays(buffered), phase(0.0, 4.0), accelerators=1, objectives=objectives
    )
    assert (found["goodput_req_s.whole"] is None) is slo.startswith("tpot")


def test_rates_per_role(turn: Any, arrays: Any, phase: Any) -> None:
    """Disaggregated: input per prefill, output per decode, total per any accelerator."""
    found = measure_repeat(
        *arrays([turn(0.0, [1.0, 2.0], n_in=12)]),
        phase(0.0, 2.0),
        accelerators=6,
        roles={"prefill": 2, "decode": 4},
    )
    assert found["input_tok_s_per_prefill_accelerator.whole"] == pytest.approx(3.0)
    assert found["output_tok_s_per_decode_accelerator.whole"] == pytest.approx(0.25)
    assert found["total_tok_s_per_accelerator.whole"] == pytest.approx(7 / 6)


@pytest.mark.parametrize(("merged", "withheld"), [(1, False), (2, True)])
def test_withheld_itl(turn: Any, evidence: Any, phase: Any, merged: int, withheld: bool) -> None:
    """ITL is withheld if the client merged more than 20 % of the events; TPOT is not."""
    turns = [turn(0.0, [1.0 + 0.1 * k for k in range(8)], tokens=[1] * 8, coalesced=merged)]
    found = withhold_itl(evidence(turns, phase(0.0, 2.0)), CertificationThresholds()).metrics
    for name in ("itl_chunk_s", "itl_token_s"):
        assert [found[f"{name}.{s}"] is None for s in STATISTICS] == [withheld] * len(STATISTICS)
    assert found["tpot_s.p50"] == pytest.approx(0.1)


def test_speed_of_a_million_chunks(phase: Any) -> None:
    """10 000 turns of 100 chunks: vectorised it takes about a second, in a loop a minute."""
    turns, each = 10_000, 100
    records, chunks = np.zeros(turns, RECORD_DTYPE), np.zeros(turns * each, CHUNK_DTYPE)
    records["sent_first_ns"] = records["scheduled_ns"] = np.arange(turns) * 1_000_000
    records["chunks"] = records["n_out"] = each
    records["chunk_offset"] = np.arange(turns) * each
    timestamps = records["sent_first_ns"][:, None] + (1 + np.arange(each)) * 10_000_000
    records["first_ns"], records["last_ns"] = timestamps[:, 0], timestamps[:, -1]
    chunks["ns"], chunks["tokens"] = timestamps.ravel(), 1
    begun = time.perf_counter()
    found = measure_repeat(records, chunks, phase(0.0, 12.0), accelerators=1)
    assert time.perf_counter() - begun < 5.0
    assert found["itl_token_s.p99"] == pytest.approx(0.01)
    assert found["tpot_s.mean"] == pytest.approx(0.01)
