"""Telemetry and accelerators: a case for each outcome, and what the samples say."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import CheckOutcome, Sample
from tokenbench.measure import device_checks
from tokenbench.measure.devices import (
    Devices,
    DeviceSamples,
    accelerator_findings,
    longest_gap_s,
)
from tokenbench.measure.thresholds import CertificationThresholds

LIMITS = CertificationThresholds()
OK, FLAGGED = CheckOutcome.OK, CheckOutcome.FLAGGED
NOT_ASSESSED = CheckOutcome.NOT_ASSESSED
S = 1_000_000_000


# -- the checks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "outcome", "text"),
    [
        (Devices(gaps_s={"acme": 1.0}), OK, "at most 1.0 s between samples, limit 3 s"),
        (Devices(gaps_s={"acme": 0.4, "bmc": 3.5}), FLAGGED, "bmc: no sample for 3.5 s"),
        (
            Devices(gaps_s={"acme": 0.4}, problems={"acme": "its sampler was killed by signal 9"}),
            FLAGGED,
            "acme: its sampler was killed by signal 9",
        ),
        (Devices(problems={"acme": "it failed"}), FLAGGED, "acme: it failed"),
        (
            Devices(gaps_s={"acme": 0.4}, lost={"acme 3": "GPU is lost"}),
            FLAGGED,
            "acme 3 is lost: GPU is lost",
        ),
        (Devices(), NOT_ASSESSED, "no telemetry"),
        (None, NOT_ASSESSED, "no telemetry"),
    ],
)
def test_telemetry(
    evidence: Any, phase: Any, devices: Devices | None, outcome: CheckOutcome, text: str
) -> None:
    """Whatever makes samples incomplete is flagged and named; also without accelerators."""
    check = device_checks.telemetry(evidence([], phase(0.0, 1.0), devices=devices), LIMITS)
    assert check.outcome is outcome
    assert text in check.evidence


@pytest.mark.parametrize(
    ("changes", "outcome", "text"),
    [
        ({}, OK, "no slowdown, no other user"),
        ({"slowdowns": {"acme 0": (0.005, ("thermal",))}}, OK, ""),
        (
            {"slowdowns": {"acme 0": (0.02, ("thermal: software", "hardware"))}},
            FLAGGED,
            "acme 0 was slowed down in 2.0 % of the samples (thermal: software, hardware)",
        ),
        ({"slow_clocks": {"acme 0": 1.0, "acme 1": 0.9}}, OK, ""),
        ({"slow_clocks": {"acme 1": 0.65}}, FLAGGED, "the clock of acme 1 is 65 % of the median"),
        ({"idle": ("acme 2",)}, FLAGGED, "acme 2 was idle while the others worked"),
        (
            {"below_limit": {"acme 0": (500.0, 700.0)}},
            FLAGGED,
            "the power limit of acme 0 is 500 W, the board's default 700 W: restore it",
        ),
        ({"foreign": ("python (pid 7)",)}, FLAGGED, "other processes use the devices: python"),
        ({"power_cap_share": 1.0}, OK, ""),
    ],
)
def test_accelerators(
    evidence: Any, phase: Any, changes: dict[str, Any], outcome: CheckOutcome, text: str
) -> None:
    """Each fault alone is flagged, with the device's name. Work at the power limit is normal."""
    data = evidence([], phase(0.0, 1.0), accelerated=True, devices=Devices(**changes))
    check = device_checks.accelerators(data, LIMITS)
    assert check.outcome is outcome
    assert text in check.evidence


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [(0.0, FLAGGED), (0.79, FLAGGED), (0.81, OK), (1.1, OK), (1.21, FLAGGED), (None, OK)],
)
def test_energy_counter(
    evidence: Any, phase: Any, ratio: float | None, outcome: CheckOutcome
) -> None:
    """A counter that stands still, or has another unit."""
    metrics = {"energy_counter_ratio.accelerator": ratio}
    data = evidence([], phase(0.0, 1.0), accelerated=True, devices=Devices(), metrics=metrics)
    assert device_checks.accelerators(data, LIMITS).outcome is outcome


def test_accelerators_need_accelerators_and_telemetry(evidence: Any, phase: Any) -> None:
    """Without one of them the check is not assessed."""
    bad = Devices(idle=("acme 0",))
    host = evidence([], phase(0.0, 1.0), devices=bad)
    assert device_checks.accelerators(host, LIMITS).outcome is NOT_ASSESSED
    blind = evidence([], phase(0.0, 1.0), accelerated=True)
    assert device_checks.accelerators(blind, LIMITS).outcome is NOT_ASSESSED
    silent = evidence([], phase(0.0, 1.0), accelerated=True, devices=findings([]))
    assert device_checks.accelerators(silent, LIMITS).outcome is NOT_ASSESSED
    capped = Devices(sampled=False, below_limit={"acme 0": (500.0, 700.0)})
    known = evidence([], phase(0.0, 1.0), accelerated=True, devices=capped)
    assert device_checks.accelerators(known, LIMITS).outcome is FLAGGED


def test_other_users_of_other_hosts_are_not_denied(evidence: Any, phase: Any) -> None:
    """Their processes cannot be told from the server's here."""
    data = evidence([], phase(0.0, 1.0), accelerated=True, devices=Devices(unseen=("n1",)))
    check = device_checks.accelerators(data, LIMITS)
    assert check.outcome is OK
    assert check.evidence.startswith("no slowdown; other users of n1 are not known here")


def test_all_faults_are_named_together(evidence: Any, phase: Any) -> None:
    """Their number is the check's value."""
    devices = Devices(idle=("acme 0", "acme 1"), foreign=("python (pid 7)", "python (pid 8)"))
    data = evidence([], phase(0.0, 1.0), accelerated=True, devices=devices)
    check = device_checks.accelerators(data, LIMITS)
    assert check.value == 3.0
    assert "acme 0 was idle" in check.evidence
    assert "acme 1 was idle" in check.evidence
    assert "python (pid 7), python (pid 8)" in check.evidence


# -- what the samples say --------------------------------------------------------------------------


def findings(*devices: list[dict[str, Any]]) -> Devices:
    """The findings for devices ``acme 0``, ``acme 1`` ... with these fields in their samples."""
    return accelerator_findings(
        [
            DeviceSamples(
                label=f"acme {number}",
                samples=tuple(Sample(device=number, **fields) for fields in samples),
            )
            for number, samples in enumerate(devices)
        ],
        idle_below=LIMITS.idle_utilization,
        working_above=LIMITS.working_utilization,
    )


def test_slowdowns_of_each_device() -> None:
    """The share of the samples with such a reason, and all such reasons in order. A normal reason
    is none; samples that do not tell do not count.
    """
    found = findings(
        [
            {"throttle": ("thermal: memory", "power cap")},
            {"throttle": ("hardware",)},
            {"throttle": ()},
            {"throttle": ("idle",)},
            {"throttle": None},
        ],
        [{"throttle": ("clock setting", "other: sync boost", "power cap")}] * 3,
        [{"throttle": None}] * 3,
    )
    assert found.slowdowns == {"acme 0": (0.5, ("thermal: memory", "hardware"))}


def test_the_worst_device_is_what_counts(evidence: Any, phase: Any) -> None:
    """One of eight that is slowed down is not averaged away."""
    good = [{"throttle": ()}] * 50
    found = findings(*[good] * 7, [{"throttle": ("thermal",)}, *good])
    assert found.slowdowns == {"acme 7": (pytest.approx(1 / 51), ("thermal",))}
    data = evidence([], phase(0.0, 1.0), accelerated=True, devices=found)
    assert "acme 7 was slowed down" in device_checks.accelerators(data, LIMITS).evidence


def test_peers_do_the_same_work() -> None:
    """Prefill at its power cap is not slow, and with long answers not idle, beside decode."""

    def device(role: str, number: int, hz: float, utilization: float) -> DeviceSamples:
        sample = Sample(device=number, clock_hz=hz, utilization=utilization)
        return DeviceSamples(label=f"{role} {number}", samples=(sample,), peers=("acme", role))

    prefill = [device("prefill", n, 1.3e9, 0.01) for n in range(2)]
    decode = [device("decode", n, 1.98e9, 0.9) for n in range(6)]
    limits = {
        "idle_below": LIMITS.idle_utilization,
        "working_above": LIMITS.working_utilization,
    }
    found = accelerator_findings([*prefill, *decode], **limits)
    assert set(found.slow_clocks.values()) == {1.0} and found.idle == ()
    slow = device("decode", 6, 1.0e9, 0.0)
    found = accelerator_findings([*prefill, *decode, slow], **limits)
    assert found.slow_clocks["decode 6"] == pytest.approx(1.0 / 1.98)
    assert found.idle == ("decode 6",)


def test_power_cap_share() -> None:
    """The mean over the devices that tell; None if none does."""
    capped, free = [{"throttle": ("power cap: software",)}], [{"throttle": ()}]
    assert findings(capped * 3 + free, free * 4).power_cap_share == pytest.approx(0.375)
    assert findings(capped, [{"throttle": None}]).power_cap_share == 1.0
    assert findings([{"throttle": None}]).power_cap_share is None


def test_clocks_of_peers() -> None:
    """Each device's median clock over the median of all. A device without peers, or without a
    clock, has none.
    """
    rows = [[{"clock_hz": hz}] * 3 for hz in (1e9, 1e9, 0.6e9)]
    rows[0][0] = {"clock_hz": 0.1e9}  # One low reading is not the median.
    found = findings(*rows, [{"clock_hz": None}])
    assert found.slow_clocks == {"acme 0": 1.0, "acme 1": 1.0, "acme 2": pytest.approx(0.6)}
    assert found.clock_hz == pytest.approx((8 * 1e9 + 3 * 0.6e9 - 2.9e9) / 9, rel=1e-9)
    assert findings(rows[1]).slow_clocks == {}
    assert findings(rows[1]).clock_hz == 1e9
    assert findings([{"clock_hz": 0.0}], [{"clock_hz": 0.0}]).slow_clocks == {}


@pytest.mark.parametrize(
    ("means", "idle"),
    [
        ((0.9, 0.9, 0.9, 0.0), ("acme 3",)),
        ((0.9, 0.0, 0.9, 0.0), ("acme 1", "acme 3")),  # Half of the others work.
        ((0.9, 0.0, 0.0, 0.0), ()),  # One works: a router of requests, not idle devices.
        ((0.0, 0.0, 0.0, 0.0), ()),
        ((0.2, 0.2, 0.2, 0.0), ()),  # None of them works much.
        ((0.9, 0.06), ()),
        ((0.0,), ()),
        ((), ()),
    ],
)
def test_idle_while_peers_work(means: tuple[float, ...], idle: tuple[str, ...]) -> None:
    """By the mean utilization. A device alone is never called idle."""
    found = findings(*([{"utilization": max(0.0, mean - 0.05)}, {"utilization": mean + 0.05}]
                       if mean else [{"utilization": 0.0}] for mean in means))  # fmt: skip
    assert found.idle == idle


def test_a_device_without_utilization_is_not_idle() -> None:
    """Unknown is not 0, neither for it nor among its peers."""
    busy, unknown = [{"utilization": 0.9}], [{"utilization": None}]
    assert findings(busy, busy, unknown).idle == ()
    assert findings([{"utilization": 0.0}], unknown).idle == ()


def test_a_lost_device() -> None:
    """The first words of its driver; its other fields are unknown and spoil nothing."""
    alive = {"throttle": (), "clock_hz": 1e9, "utilization": 0.9}
    gone = [{"lost": "Xid 79: GPU has fallen off the bus"}, {"lost": "not found"}]
    found = findings([alive] * 3, [alive, *gone])
    assert found.lost == {"acme 1": "Xid 79: GPU has fallen off the bus"}
    assert (found.idle, found.slowdowns) == ((), {})


@pytest.mark.parametrize(
    ("seconds", "gap"),
    [
        ([0.0, 1.0, 2.0, 3.0], 1.0),
        ([1.5], 1.5),
        ([0.2, 2.9], 2.7),
        ([0.9, 2.0], 1.1),
        ([2.5, 0.5, 1.5], 1.0),
        ([], 3.0),
        ([-0.1, 3.1], 3.0),
    ],
)
def test_longest_gap(seconds: list[float], gap: float) -> None:
    """Of a window of 3 s, its edges included; in any order."""
    start = 4_000_000 * S
    ns = [start + round(at * S) for at in seconds]
    assert longest_gap_s(ns, start, start + 3 * S) == pytest.approx(gap)
