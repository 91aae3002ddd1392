"""From readings to energy by domain and role, to findings, and to words about devices."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.api import DeviceInfo, PcieLink, Sample
from tokenbench.api.specs import DOMAINS
from tokenbench.measure.definitions import BY_NAME
from tokenbench.measure.devices import Devices
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.run.device_facts import below_limit, device_facts, devices_in_short
from tokenbench.run.devices import Window, idle_power, power_metrics
from tokenbench.telemetry.collect import Reading

S = 1_000_000_000
BASE = 4_000_000 * S
LIMITS = CertificationThresholds()
METRICS = {"input_tokens": 300.0, "output_tokens": 100.0, "requests_ok": 10.0}


def readings(
    seconds: Any,
    *,
    host: str = "localhost",
    hardware: str = "acme",
    domain: str = "accelerator",
    role: str = "server",
    **fields: Any,
) -> list[Reading]:
    """Readings of one device at these seconds."""
    return [
        Reading(
            monotonic_ns=BASE + round(at * S),
            wall_ns=0,
            host=host,
            hardware=hardware,
            domain=domain,
            role=role,
            sample=Sample(**{"device": 0, **fields}),
        )
        for at in seconds
    ]


def window(*found: list[Reading], end: float = 10.0) -> Window:
    """From second 0 to `end`."""
    return Window.of([r for some in found for r in some], BASE, BASE + round(end * S))


def test_domains_are_never_added() -> None:
    """Two accelerators of 100 W and 200 W, CPU packages of 50 W, a host of 600 W."""
    every = range(-1, 12)
    found = window(
        readings(every, power_w=100.0),
        readings(every, power_w=200.0, device=1),
        readings(every, hardware="cpu", domain="cpu", power_w=50.0),
        readings(every, hardware="bmc", domain="host", power_w=600.0),
    )
    energy = {domain: found.energy(domain).energy_j for domain in DOMAINS}
    assert energy == pytest.approx({"accelerator": 3000.0, "cpu": 500.0, "host": 6000.0})
    metrics = power_metrics(found, METRICS, Devices())
    assert metrics["energy_j_per_output_token.accelerator"] == pytest.approx(30.0)
    assert metrics["energy_j_per_input_token.cpu"] == pytest.approx(500 / 300)
    assert metrics["energy_j_per_total_token.host"] == pytest.approx(15.0)
    assert metrics["energy_j_per_request.accelerator"] == pytest.approx(300.0)
    assert metrics["power_w.host"] == pytest.approx(600.0)
    assert set(metrics) <= set(BY_NAME)


def test_hosts_of_one_domain_are_added() -> None:
    """Device 0 of two hosts is two devices."""
    every = range(-1, 12)
    found = window(
        readings(every, host="n1", power_w=100.0), readings(every, host="n2", power_w=300.0)
    )
    assert found.energy("accelerator").power_w == pytest.approx(400.0)


def test_energy_by_role() -> None:
    """Of a disaggregated server: prefill over input tokens, decode over output tokens."""
    every = range(-1, 12)
    found = window(
        readings(every, role="prefill", power_w=300.0),
        readings(every, role="decode", power_w=100.0, device=1),
    )
    metrics = power_metrics(found, METRICS, Devices())
    assert metrics["energy_j_per_input_token.prefill"] == pytest.approx(10.0)
    assert metrics["energy_j_per_output_token.decode"] == pytest.approx(10.0)
    assert metrics["energy_j.accelerator"] == pytest.approx(4000.0)


def test_what_was_not_measured_is_none() -> None:
    """Without power, without tokens, without any device: never 0."""
    blind = power_metrics(window(readings(range(12), utilization=0.5)), METRICS, Devices())
    assert blind["energy_j.accelerator"] is None
    assert blind["energy_j_per_output_token.accelerator"] is None
    assert "energy_j.cpu" not in blind
    nothing = dict.fromkeys(METRICS, 0.0)
    empty = power_metrics(window(readings(range(-1, 12), power_w=1.0)), nothing, Devices())
    assert empty["energy_j.accelerator"] == pytest.approx(10.0)
    assert empty["energy_j_per_output_token.accelerator"] is None
    assert idle_power(window()) == dict.fromkeys((f"idle_power_w.{d}" for d in DOMAINS), None)


def test_clock_and_power_cap_are_metrics() -> None:
    """Of the accelerators; they explain a number, and spoil nothing."""
    found = power_metrics(window(), METRICS, Devices(power_cap_share=0.25, clock_hz=1.98e9))
    assert found["power_cap_share.accelerator"] == 0.25
    assert found["clock_hz.accelerator"] == 1.98e9


def test_findings_of_a_window() -> None:
    """Only samples inside of it count; gaps of each source; a source without samples has one as
    long as the window.
    """
    hot = readings([-0.5, 10.5], throttle=("thermal",))
    good = readings([0, 1, 2, 5, 6, 7, 8, 9, 10], throttle=())
    found = window(hot, good, readings([0.5, 9.5], hardware="bmc", domain="host", power_w=1.0))
    devices = found.findings(["acme", "bmc", "cpu on n2"], LIMITS)
    assert devices.slowdowns == {}
    assert devices.gaps_s == pytest.approx({"acme": 3.0, "bmc": 9.0, "cpu on n2": 10.0})


def test_findings_name_device_and_host() -> None:
    """Without the host if it is this machine. What is no accelerator is not judged."""
    gone = {"lost": "off the bus"}
    found = window(
        readings([1], device=3, **gone),
        readings([1], host="n1", device=2, **gone),
        readings([1], hardware="bmc", domain="host", **gone),
    )
    assert set(found.findings([], LIMITS).lost) == {"acme 3", "acme 2 on n1"}


def test_processes_that_used_an_accelerator_of_this_machine() -> None:
    """During the window. Process ids of other hosts mean nothing here."""
    found = window(
        readings([1], pids=(7, 8)),
        readings([2], device=1, pids=(8, 9)),
        readings([11], device=1, pids=(10,)),
        readings([1], host="n1", pids=(11,)),
        readings([1], hardware="cpu", domain="cpu", pids=(12,)),
        readings([1], device=2),
    )
    assert found.pids({"localhost"}) == {7, 8, 9}


DEVICE = DeviceInfo(
    index=1,
    name="ACME X1",
    uuid="A-1",
    driver="7.1",
    power_limit_w=500.0,
    default_power_limit_w=700.0,
    memory_used_bytes=1,
    ecc=False,
    pcie=PcieLink(width=8, max_width=16),
    pids=(7,),
    faults=("row remapping failed", "Xid 63"),
)


def test_facts_of_a_device() -> None:
    """All that is known, also what is False; not what changes at each reading."""
    assert device_facts([DEVICE]) == {
        "1.name": "ACME X1",
        "1.uuid": "A-1",
        "1.driver": "7.1",
        "1.power_limit_w": "500.0",
        "1.default_power_limit_w": "700.0",
        "1.ecc": "False",
        "1.pcie.width": "8",
        "1.pcie.max_width": "16",
        "1.faults": "row remapping failed, Xid 63",
    }


def test_devices_in_one_line() -> None:
    """What all have in common is said once."""
    other = DeviceInfo(index=2, name="ACME X1", uuid="A-2", driver="7.1", power_limit_w=700.0)
    assert devices_in_short([DEVICE, other]) == (
        "2 x ACME X1; driver 7.1; limit 500 W, 700 W; uuid A-1, A-2"
    )
    assert devices_in_short([DeviceInfo(index=0, name="x")]) == "1 x x"
    assert devices_in_short([]) is None


def test_a_lowered_power_limit() -> None:
    """Below the board's default. A raised or unknown one is none."""
    raised = DeviceInfo(index=0, name="x", power_limit_w=800.0, default_power_limit_w=700.0)
    unknown = DeviceInfo(index=2, name="x", power_limit_w=500.0)
    found = {("localhost", "acme"): [raised, DEVICE, unknown], ("n1", "acme"): [DEVICE]}
    limits = (500.0, 700.0)
    assert below_limit(found) == {"acme 1": limits, "acme 1 on n1": limits}
