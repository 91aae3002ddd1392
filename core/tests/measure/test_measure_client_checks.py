"""Each check of the client, with a case for each outcome."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome
from tokenbench.load.records import Status
from tokenbench.measure import client_checks
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED, INVALID = CheckOutcome.OK, CheckOutcome.FLAGGED, CheckOutcome.INVALID
NOT_ASSESSED, TOO_SHORT = CheckOutcome.NOT_ASSESSED, CheckOutcome.TOO_SHORT


def _steady(turn: Any, *, tpot: float, delay: float = 0.0, count: int = 20, **fields: Any) -> Any:
    """Sequential requests of 11 tokens, TTFT 0.1 s, each dispatched `delay` late."""
    turns, at = [], 0.0
    for _ in range(count):
        sent = at + delay
        timestamps = [sent + 0.1 + tpot * i for i in range(11)]
        turns.append(turn(sent, timestamps, scheduled=at, **fields))
        at = timestamps[-1]
    return turns


@pytest.mark.parametrize(
    ("tpot", "p99_ms", "outcome"),
    [
        (0.010, 0.9, OK),  # limits 1 ms and 5 ms: the floors
        (0.010, 1.1, FLAGGED),
        (0.010, 5.1, INVALID),
        (0.100, 4.9, OK),  # limits 5 ms and 20 ms: the shares
        (0.100, 5.1, FLAGGED),
        (0.100, 20.1, INVALID),
    ],
)
def test_loop_delay(
    turn: Any, evidence: Any, phase: Any, tpot: float, p99_ms: float, outcome: CheckOutcome
) -> None:
    """p99 against 5 % and 20 % of the median TPOT, at least 1 ms and 5 ms."""
    delays = (0, 0, round(p99_ms * 1e6), 10**9)
    data = evidence(_steady(turn, tpot=tpot), phase(0.0, 9.0, loop_delay_ns=delays))
    check = client_checks.loop_delay(data, LIMITS)
    assert check.outcome is outcome
    limit = max(1, 50 * tpot) if outcome is not INVALID else max(5, 200 * tpot)
    text = f"p99 read delay {p99_ms:.3f} ms, median TPOT {tpot * 1e3:.2f} ms; limit {limit:g} ms"
    assert check.evidence.startswith(text)
    assert ("lower the load" in check.evidence) == (outcome is not OK)


@pytest.mark.parametrize(
    ("tpot", "set_ms", "outcome"),
    [(0.010, 0.0, OK), (0.010, 0.9, OK), (0.010, -1.1, FLAGGED), (0.010, 5.1, INVALID)],
)
def test_loop_delay_with_kernel_timestamps(
    turn: Any, evidence: Any, phase: Any, tpot: float, set_ms: float, outcome: CheckOutcome
) -> None:
    """Late reads do not affect kernel timestamps; setting the wall clock does."""
    late = phase(
        0.0,
        9.0,
        loop_delay_ns=(0, 0, 10**9, 10**9),
        kernel_timestamps=True,
        clock_set_ns=round(set_ms * 1e6),
    )
    check = client_checks.loop_delay(evidence(_steady(turn, tpot=tpot), late), LIMITS)
    assert check.outcome is outcome
    assert f"p99 read delay 1000.000 ms; wall clock set by {abs(set_ms):.3f} ms" in check.evidence


def test_loop_delay_without_reads(turn: Any, evidence: Any, phase: Any) -> None:
    """Not assessed without a response; too short if there are responses, but no timed read."""
    data = evidence([], phase(0.0, 9.0))
    assert client_checks.loop_delay(data, LIMITS).outcome is NOT_ASSESSED
    data = evidence(_steady(turn, tpot=0.01), phase(0.0, 9.0))
    assert client_checks.loop_delay(data, LIMITS).outcome is TOO_SHORT


@pytest.mark.parametrize(
    ("delay", "count", "outcome"),
    [
        (0.004, 20, OK),  # limits 5 ms and 20 ms: 5 % and 20 % of the TTFT of 0.1 s
        (0.006, 20, FLAGGED),
        (0.021, 20, INVALID),
        (0.004, 5, OK),
        (0.006, 5, FLAGGED),
    ],
)
def test_dispatch_delay(
    turn: Any, evidence: Any, phase: Any, delay: float, count: int, outcome: CheckOutcome
) -> None:
    """p99 against shares of the median TTFT; of fewer than 10 requests the largest delay."""
    data = evidence(_steady(turn, tpot=0.01, delay=delay, count=count), phase(0.0, 9.0))
    check = client_checks.dispatch_delay(data, LIMITS)
    assert check.outcome is outcome
    assert check.evidence.startswith("largest" if count < 10 else "p99")


def test_largest_delay_of_few_requests_counts(turn: Any, evidence: Any, phase: Any) -> None:
    """One late request of five is flagged; no request in the steady state is too short."""
    turns = _steady(turn, tpot=0.01, count=5)
    turns[3]["scheduled"] -= 0.012
    check = client_checks.dispatch_delay(evidence(turns, phase(0.0, 9.0)), LIMITS)
    assert check.outcome is FLAGGED and check.value == pytest.approx(0.012)
    check = client_checks.dispatch_delay(evidence([], phase(0.0, 9.0)), LIMITS)
    assert check.outcome is TOO_SHORT and "; --" in check.evidence


def test_dispatch_delay_outside_the_steady_state_is_ignored(
    turn: Any, evidence: Any, phase: Any
) -> None:
    """Delays of the ramp, before the C-th dispatch, do not count."""
    late = [turn(0.0, [0.5, 1.0], scheduled=-0.2) for _ in range(3)]
    late += [turn(0.3, [0.5, 1.0], scheduled=0.3)]
    rest = [turn(1.0 + k, [1.5 + k, 2.0 + k]) for k in range(20)]
    data = evidence(late + rest, phase(0.0, 22.0, concurrency=4))
    assert client_checks.dispatch_delay(data, LIMITS).outcome is OK


@pytest.mark.parametrize(("share", "outcome"), [(0.84, OK), (0.86, FLAGGED), (0.98, INVALID)])
def test_cpu(turn: Any, evidence: Any, phase: Any, share: float, outcome: CheckOutcome) -> None:
    """85 % and 97 % of a core."""
    data = evidence([], phase(0.0, 10.0, cpu_share=share))
    assert client_checks.cpu(data, LIMITS).outcome is outcome


def test_cpu_of_an_empty_phase(evidence: Any, phase: Any) -> None:
    """Too short."""
    assert client_checks.cpu(evidence([], phase(0.0, 0.0)), LIMITS).outcome is TOO_SHORT


MS = 1_000_000


@pytest.mark.parametrize(
    ("coalesced", "late_of_100", "outcome", "share"),
    [
        (0, 100, OK, 0.0),
        (5, 0, OK, 0.0),  # never later than half the gap of 10 ms: merged upstream
        (5, 1, OK, 0.01 * 5 / 11),
        (5, 10, FLAGGED, 0.1 * 5 / 11),
        (5, 50, FLAGGED, 0.5 * 5 / 11),
        (5, 100, FLAGGED, 5 / 11),
        (5, None, FLAGGED, 5 / 11),  # no delay recorded
    ],
)
def test_coalesced(
    turn: Any, evidence: Any, phase: Any,
    coalesced: int, late_of_100: int | None, outcome: CheckOutcome, share: float,
) -> None:  # fmt: skip
    """Merged events count as the client's in proportion to the merging reads that were later than
    half the gap; other reads do not matter.
    """
    delays: tuple[int, ...] = ()
    if late_of_100 is not None:
        delays = (*[4 * MS] * (100 - late_of_100), *[6 * MS] * late_of_100)
    turns = _steady(turn, tpot=0.01, coalesced=coalesced)
    others = (0, 0, 9 * MS, 50 * MS)
    data = evidence(turns, phase(0.0, 9.0, loop_delay_ns=others, merged_delay_ns=delays))
    check = client_checks.coalesced(data, LIMITS)
    assert check.outcome is outcome
    assert check.value == pytest.approx(share)
    assert ("withheld" in check.evidence) == (share > LIMITS.coalesced_withhold_itl)


@pytest.mark.parametrize(
    ("late", "every", "outcome"), [(False, 10, OK), (True, 10, FLAGGED), (True, 20, OK)]
)
def test_coalesced_first_tokens(
    turn: Any, evidence: Any, phase: Any, late: bool, every: int, outcome: CheckOutcome
) -> None:
    """One in ten first tokens was read with the second, but only one in 2000 of all tokens. A
    single one may be chance.
    """
    turns = []
    for k in range(20):
        timestamps = [k + 0.1 + 0.01 * i for i in range(200)]
        if k % every == 0:
            timestamps[0] = timestamps[1]
        turns.append(turn(float(k), timestamps, coalesced=int(k % every == 0)))
    delays = ((9 if late else 1) * MS,) * 101
    data = evidence(turns, phase(0.0, 22.0, merged_delay_ns=delays))
    check = client_checks.coalesced(data, LIMITS)
    assert check.outcome is outcome
    assert check.value == pytest.approx(0.1 if outcome is FLAGGED else 0.0, abs=1e-3)


def test_tokens_per_event_are_reported(turn: Any, evidence: Any, phase: Any) -> None:
    """Chunks of several tokens are the server's choice and pass."""
    turns = [turn(float(k), [k + 0.1, k + 0.2], tokens=[4, 4]) for k in range(12)]
    check = client_checks.coalesced(evidence(turns, phase(0.0, 12.0)), LIMITS)
    assert check.outcome is OK
    assert "4.00 tokens per event" in check.evidence


def test_coalesced_without_tokens(evidence: Any, phase: Any) -> None:
    """Not assessed."""
    assert client_checks.coalesced(evidence([], phase(0.0, 1.0)), LIMITS).outcome is NOT_ASSESSED


@pytest.mark.parametrize(("in_flight", "outcome"), [(3.95, OK), (3.9, FLAGGED), (3.5, INVALID)])
def test_offered_load_closed(
    turn: Any, evidence: Any, phase: Any, in_flight: float, outcome: CheckOutcome
) -> None:
    """Mean requests in flight over the concurrency of 4: 98 % and 90 %."""
    turns = [turn(k * 1.0, [k + 1.0]) for k in range(8)]
    data = evidence(
        turns,
        phase(
            0.0,
            8.0,
            concurrency=4,
            in_flight_ns=round(in_flight * 8e9),
            target_in_flight_ns=round(4 * 8e9),
        ),
    )
    check = client_checks.offered_load(data, LIMITS)
    assert check.outcome is outcome
    assert f"mean {in_flight:.2f} requests in flight, target 4 (" in check.evidence


def test_offered_load_needs_a_steady_state(turn: Any, evidence: Any, phase: Any) -> None:
    """With fewer requests than the concurrency there is a ramp only: too short."""
    data = evidence(
        [turn(0.0, [1.0]) for _ in range(3)],
        phase(0.0, 1.0, concurrency=4, in_flight_ns=400, target_in_flight_ns=800),
    )
    check = client_checks.offered_load(data, LIMITS)
    assert check.outcome is TOO_SHORT
    assert check.evidence == "too short to judge: no steady state; --requests 16"


@pytest.mark.parametrize(
    ("sent", "scheduled", "outcome"),
    [(99, 100, OK), (97, 100, FLAGGED), (89, 100, INVALID), (0, 0, TOO_SHORT)],
)
def test_offered_load_open(
    turn: Any, evidence: Any, phase: Any, sent: int, scheduled: int, outcome: CheckOutcome
) -> None:
    """Requests dispatched over requests scheduled."""
    turns = [turn(k / 10, [k / 10 + 0.1]) for k in range(sent)]
    turns.append(turn(-1, [], scheduled=5.0))
    summary = phase(0.0, 10.0, concurrency=None, rate_per_s=10.0, scheduled_turns=scheduled)
    assert client_checks.offered_load(evidence(turns, summary), LIMITS).outcome is outcome


def test_offered_load_includes_refused_connections(turn: Any, evidence: Any, phase: Any) -> None:
    """They are failures of the server, not a lack of offered load."""
    turns = [turn(k / 10, [k / 10 + 0.1]) for k in range(90)]
    turns += [turn(-1, [], scheduled=9.0 + k / 10, status=Status.CONNECT) for k in range(10)]
    summary = phase(0.0, 10.0, concurrency=None, rate_per_s=10.0, scheduled_turns=100)
    assert client_checks.offered_load(evidence(turns, summary), LIMITS).outcome is OK


def test_a_refused_connection_is_not_late(turn: Any, evidence: Any, phase: Any) -> None:
    """With think time, too: the session goes on at once, although nothing was sent."""
    turns = [turn(3.0 * k, [3.0 * k + 1.0], session=0, turn=k) for k in range(10)]
    turns.append(turn(-1, [], scheduled=0.0, end=0.001, session=1, status=Status.CONNECT))
    summary = phase(
        0.0, 28.0, in_flight_ns=10 * 10**9, target_in_flight_ns=28 * 10**9, concurrency=1
    )
    check = client_checks.offered_load(evidence(turns, summary), LIMITS)
    assert (check.outcome, check.value) == (OK, pytest.approx(1.0, abs=0.001))


@pytest.mark.parametrize(("late", "outcome"), [(0.0, OK), (0.15, FLAGGED), (0.6, INVALID)])
def test_offered_load_with_think_time(
    turn: Any, evidence: Any, phase: Any, late: float, outcome: CheckOutcome
) -> None:
    """A session that thinks counts as in flight; the delay of a late request does not. Turns of 1 s
    with 2 s of think time: only a third of the target is in flight.
    """
    turns = [
        turn(3.0 * k + late, [3.0 * k + 1.0], scheduled=3.0 * k, session=0, turn=k)
        for k in range(10)
    ]
    summary = phase(
        0.0, 28.0, in_flight_ns=10 * 10**9, target_in_flight_ns=28 * 10**9, concurrency=1
    )
    check = client_checks.offered_load(evidence(turns, summary), LIMITS)
    assert check.outcome is outcome
    assert "or thinking" in check.evidence


@pytest.mark.parametrize(
    ("longest_ms", "total_ms", "seconds", "outcome"),
    [
        (45, 45, 2.0, OK),  # below 50 ms
        (90, 90, 10.0, OK),  # below 1 % of 10 s
        (110, 110, 10.0, FLAGGED),
        (490, 490, 10.0, FLAGGED),
        (510, 510, 10.0, INVALID),
        (90, 510, 10.0, INVALID),  # many gaps
        (30_000, 30_000, 40.0, INVALID),
        (45, 45, 0.5, OK),  # the floor holds for both limits
        (60, 60, 0.5, INVALID),
    ],
)
def test_paused(
    turn: Any, evidence: Any, phase: Any,
    longest_ms: int, total_ms: int, seconds: float, outcome: CheckOutcome,
) -> None:  # fmt: skip
    """One gap over 1 % of the steady state and 50 ms is flagged; over 5 % of it, or many that add
    up to that, invalid. Open loop and closed loop alike.
    """
    gaps = {"longest_pause_ns": longest_ms * MS, "paused_ns": total_ms * MS}
    turns = [turn(0.0, [0.1]), turn(seconds, [seconds + 0.1])]
    for loop in ({}, {"concurrency": None, "rate_per_s": 1.0}):
        data = evidence(turns, phase(0.0, seconds, **gaps, **loop))
        check = client_checks.paused(data, LIMITS)
        assert check.outcome is outcome, check
        assert f"longest gap {longest_ms} ms, {total_ms / 1e3:.2f} s in all" in check.evidence


@pytest.mark.parametrize(
    ("kernel", "set_ms", "outcome"),
    [(True, 0.9, OK), (True, -1.1, FLAGGED), (True, 3600e3, FLAGGED), (False, 3600e3, OK)],
)
def test_wall_clock_step(
    turn: Any, evidence: Any, phase: Any, kernel: bool, set_ms: float, outcome: CheckOutcome
) -> None:
    """Over 1 ms, either way, flags kernel timestamps; others do not use the wall clock."""
    summary = phase(0.0, 10.0, clock_set_ns=round(set_ms * MS), kernel_timestamps=kernel)
    check = client_checks.paused(evidence([turn(0.0, [1.0])], summary), LIMITS)
    assert check.outcome is outcome
    assert (f"wall clock set by {abs(set_ms):.1f} ms" in check.evidence) == (outcome is FLAGGED)


@pytest.mark.parametrize(
    ("share", "outcome"),
    [(None, NOT_ASSESSED), (0.0, OK), (0.05, OK), (0.06, FLAGGED), (0.26, INVALID)],
)
def test_foreign_load(
    evidence: Any, phase: Any, share: float | None, outcome: CheckOutcome
) -> None:
    """5 % and 25 % of the cores of client and engine; unknown where the system does not tell."""
    data = evidence([], phase(0.0, 10.0), foreign_share=share)
    assert client_checks.foreign_load(data, LIMITS).outcome is outcome
