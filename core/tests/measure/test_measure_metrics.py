"""Metrics of a repeat against numbers worked out by hand and simulated streams of known truth."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.load.records import ABSENT, Status
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE
from tokenbench.measure.definitions import BY_NAME, DISTRIBUTIONS, STATISTICS
from tokenbench.measure.metrics import measure_repeat, steady_window
from tokenbench.measure.slo import Slo


def test_every_time_of_one_request_by_hand(turn: Any, arrays: Any, phase: Any) -> None:
    """Each latency is the difference of the two stamps that its definition names."""
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


def test_every_definition_but_energy_is_computed_and_nothing_else(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """The registry and the computation name the same metrics, also for an empty repeat."""
    named = {name for name in BY_NAME if not name.startswith(("energy", "power"))}
    for turns in ([], [turn(0.0, [1.0])]):
        found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=0)
        assert set(found) == named


def test_nothing_measured_is_none_and_never_zero_or_infinite(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """One request has no steady state; one token has no TPOT; no accelerator divides nothing."""
    found = measure_repeat(*arrays([turn(0.0, [1.0])]), phase(0.0, 2.0), accelerators=0)
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
def test_unknown_token_counts_make_throughput_unknown(
    turn: Any, arrays: Any, phase: Any, unknown: str
) -> None:
    """One request without a count: the sum is not known, so no throughput is claimed from it."""
    turns = [turn(0.0, [0.5, 1.0]), turn(1.0, [1.5, 2.0], **{unknown: ABSENT})]
    found = measure_repeat(*arrays(turns), phase(0.0, 2.0), accelerators=1)
    side = "input" if unknown == "n_in" else "output"
    for window in ("whole", "steady"):
        assert found[f"{side}_tok_s.{window}"] is None
        assert found[f"total_tok_s.{window}"] is None


@settings(max_examples=60, deadline=None)
@given(
    slots=st.integers(1, 8),
    rounds=st.integers(2, 12),
    n_out=st.integers(2, 20),
    ttft_ms=st.integers(1, 400),
    tpot_ms=st.integers(1, 50),
)
def test_closed_loop_of_known_truth(
    turn: Any, arrays: Any, phase: Any,
    slots: int, rounds: int, n_out: int, ttft_ms: int, tpot_ms: int,
) -> None:  # fmt: skip
    """C slots in step, each round T long: steady output is C * n / T, TPOT and TTFT as set."""
    period = (ttft_ms + tpot_ms * (n_out - 1)) / 1e3
    turns = []
    for number in range(rounds):
        begin = 5.0 + number * period
        timestamps = [begin + (ttft_ms + tpot_ms * i) / 1e3 for i in range(n_out)]
        turns += [turn(begin, timestamps, n_in=3) for _ in range(slots)]
    end = 5.0 + rounds * period
    found = measure_repeat(*arrays(turns), phase(5.0, end, concurrency=slots), accelerators=4)
    assert found["duration_s.steady"] == pytest.approx((rounds - 1) * period)
    assert found["output_tok_s.steady"] == pytest.approx(slots * n_out / period)
    assert found["input_tok_s.steady"] == pytest.approx(slots * 3 / period)
    assert found["req_s.steady"] == pytest.approx(slots / period)
    assert found["output_tok_s.whole"] == pytest.approx(slots * n_out / period)
    assert found["output_tok_s_per_accelerator.steady"] == pytest.approx(slots * n_out / period / 4)
    assert found["ttft_s.p99_9"] == pytest.approx(ttft_ms / 1e3)
    assert found["tpot_s.mean"] == pytest.approx(tpot_ms / 1e3)
    assert found["itl_chunk_s.p50"] == pytest.approx(tpot_ms / 1e3)
    assert found["interactivity_tok_s.p99"] == pytest.approx(1e3 / tpot_ms)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.floats(0.001, 2)), min_size=1))
def test_percentiles_are_numpys_over_all_requests(
    turn: Any, arrays: Any, phase: Any, times: list[tuple[float, float, float]]
) -> None:
    """Every family's statistics are the exact ones of the requests' own values."""
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


def test_interactivity_inverts_the_same_percentile(turn: Any, arrays: Any, phase: Any) -> None:
    """A high percentile of interactivity is a slow user's: 1 / that percentile of TPOT."""
    turns = [turn(0.0, [1.0, 1.0 + 0.01 * k]) for k in range(1, 101)]
    found = measure_repeat(*arrays(turns), phase(0.0, 3.0), accelerators=1)
    for statistic in STATISTICS:
        tpot = found[f"tpot_s.{statistic}"]
        assert found[f"interactivity_tok_s.{statistic}"] == pytest.approx(1 / tpot)
    assert found["interactivity_tok_s.p99"] < found["interactivity_tok_s.p50"]


def test_failed_and_cancelled_requests_have_no_latency(turn: Any, arrays: Any, phase: Any) -> None:
    """They are counted (failed apart from cancelled) and leave every percentile alone."""
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


def test_tokens_of_silent_chunks_are_spread_and_none_is_lost(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """Two chunks, six tokens: half of them counts where each chunk arrived."""
    turns = [turn(0.0, [1.0, 3.0], n_out=6), turn(2.0, [4.0], n_out=0)]
    found = measure_repeat(*arrays(turns), phase(0.0, 5.0), accelerators=1)
    # Steady from 0 s to 2 s: one of the two chunks.
    assert found["output_tok_s.steady"] == pytest.approx(3 / 2)
    assert found["itl_token_s.mean"] is None


def test_first_chunk_without_a_number_has_what_is_left(turn: Any, arrays: Any, phase: Any) -> None:
    """Continuous usage tells of each chunk but the first; n_out tells the first one's share."""
    turns = [turn(0.0, [1.0, 1.3], tokens=[-1, 3], n_out=5), turn(2.0, [4.0, 4.3], tokens=[2, 3])]
    found = measure_repeat(*arrays(turns), phase(0.0, 5.0), accelerators=1)
    assert found["itl_token_s.p99"] == pytest.approx(0.1)
    assert found["output_tok_s.steady"] == pytest.approx(5 / 2)


def test_chunk_without_a_token_lengthens_the_next_gap(turn: Any, arrays: Any, phase: Any) -> None:
    """A chunk the server says holds none must not shorten the gaps between tokens."""
    found = measure_repeat(
        *arrays([turn(0.0, [1.0, 1.2, 1.4], tokens=[1, 0, 1])]), phase(0.0, 2.0), accelerators=1
    )
    assert found["itl_token_s.p50"] == pytest.approx(0.4)


def test_no_streaming_has_no_tpot(turn: Any, arrays: Any, phase: Any) -> None:
    """The whole answer in one chunk says nothing about the time between tokens."""
    found = measure_repeat(*arrays([turn(0.0, [2.0], n_out=50)]), phase(0.0, 3.0), accelerators=1)
    assert found["tpot_s.mean"] is None and found["itl_chunk_s.mean"] is None
    assert found["e2e_s.mean"] == pytest.approx(2.0)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_records_and_chunks_does_not_matter(
    turn: Any, arrays: Any, phase: Any, order: list[int]
) -> None:
    """Turns end in any order, and so do their chunks lie on disk."""
    turns = [turn(k * 0.5, [k + 1.0, k + 1.1, k + 1.5], tokens=[1, 2, k]) for k in range(6)]
    straight = measure_repeat(*arrays(turns), phase(0.0, 9.0), accelerators=1)
    mixed = measure_repeat(*arrays([turns[k] for k in order]), phase(0.0, 9.0), accelerators=1)
    assert mixed == pytest.approx(straight)


def test_open_loop_is_steady_between_first_and_last_arrival(
    turn: Any, arrays: Any, phase: Any
) -> None:
    """By schedule, not by dispatch; a session's later turns are no arrivals."""
    turns = [
        turn(1.5, [2.0], scheduled=1.0),
        turn(3.0, [4.0], scheduled=2.5),
        turn(8.0, [9.0], scheduled=8.0, turn=1),
    ]
    window = steady_window(arrays(turns)[0], phase(0.0, 9.0, concurrency=None, rate_per_s=1.0))
    assert (window.start_ns, window.end_ns) == (1_000_000_000, 2_500_000_000)


def test_goodput_counts_requests_that_keep_every_slo(turn: Any, arrays: Any, phase: Any) -> None:
    """Three requests, one too slow to start, one too slow after: one is good."""
    turns = [
        turn(0.0, [0.1, 0.2]),
        turn(1.0, [1.9, 2.0]),
        turn(2.0, [2.1, 3.9]),
    ]
    records, chunks = arrays(turns)
    slo = Slo(ttft_s=0.5, tpot_s=1.0)
    found = measure_repeat(records, chunks, phase(0.0, 4.0), accelerators=1, slo=slo)
    assert found["goodput_req_s.whole"] == pytest.approx(1 / 4)
    assert found["goodput_req_s.steady"] == pytest.approx(1 / 2)


def test_roles_divide_each_side_by_its_own_accelerators(turn: Any, arrays: Any, phase: Any) -> None:
    """Disaggregated: input by prefill, output by decode, the total by all."""
    found = measure_repeat(
        *arrays([turn(0.0, [1.0, 2.0], n_in=12)]),
        phase(0.0, 2.0),
        accelerators=6,
        roles={"prefill": 2, "decode": 4},
    )
    assert found["input_tok_s_per_prefill_accelerator.whole"] == pytest.approx(3.0)
    assert found["output_tok_s_per_decode_accelerator.whole"] == pytest.approx(0.25)
    assert found["total_tok_s_per_accelerator.whole"] == pytest.approx(7 / 6)


def test_withheld_itl_leaves_tpot(turn: Any, arrays: Any, phase: Any) -> None:
    """Too many merged reads: the gaps are withheld, TPOT and throughput stay."""
    data = arrays([turn(0.0, [1.0, 1.5], tokens=[1, 1])])
    found = measure_repeat(*data, phase(0.0, 2.0), accelerators=1, withhold_itl=True)
    assert {found[f"{n}.{s}"] for n in ("itl_chunk_s", "itl_token_s") for s in STATISTICS} == {None}
    assert found["tpot_s.p50"] == pytest.approx(0.5)


def test_a_million_chunks_take_seconds(phase: Any) -> None:
    """Vectorised: 10 000 turns of 100 chunks well under the minute that a loop would take."""
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


def test_families_have_all_statistics() -> None:
    """Every distribution is registered with mean and six percentiles."""
    for family in DISTRIBUTIONS:
        assert {f"{family.name}.{s}" for s in STATISTICS} <= set(BY_NAME)
