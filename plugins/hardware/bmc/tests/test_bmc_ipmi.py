"""IPMI: the real ipmitool, with a simulated BMC and without one, and its captured outputs."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from tokenbench_hardware_bmc import node

CAPTURED = json.loads((Path(__file__).parent / "captured/ipmitool.json").read_text())


def test_a_bmc_in_the_network(ipmi_bmc) -> None:
    """Its maker, firmware and power, through RMCP+."""
    probe = node.probe(ipmi_bmc.options)
    assert probe["devices"] == [
        {"index": 0, "name": "Super Micro Computer Inc. host", "firmware": "9.08"}
    ]
    assert probe["notes"] == {"energy_j": "IPMI DCMI has no energy counter"}
    assert probe["facts"] == {"source": "IPMI DCMI of 127.0.0.1"}
    json.dumps(probe)


def test_readings_follow_the_bmc(ipmi_bmc, until) -> None:
    """The newest one, without waiting; nothing before the first one."""
    sampler = node.sampler(ipmi_bmc.options, [0])
    assert sampler is not None
    started = time.monotonic()
    assert sampler.sample() == [{"device": 0}]
    assert time.monotonic() - started < 0.02
    until(sampler, lambda sample: sample.get("power_w") == 812.0)
    ipmi_bmc.report(4321)
    until(sampler, lambda sample: sample.get("power_w") == 4321.0)
    sampler.close()
    sampler.close()


def test_a_bmc_that_stops(ipmi_bmc, until, monkeypatch) -> None:
    """The last reading for 3 s, then none, then why; and readings again when it is back."""
    monkeypatch.setattr("tokenbench_hardware_bmc.node.ipmi._LIMIT_S", 2.0)
    sampler = node.sampler(ipmi_bmc.options, [0])
    assert sampler is not None
    until(sampler, lambda sample: "power_w" in sample)
    ipmi_bmc.report(-0xC0)
    lost = until(sampler, lambda sample: "lost" in sample)
    assert lost == {
        "device": 0,
        "lost": "ipmitool: DCMI request failed because: Node busy (c0)",
    }
    ipmi_bmc.report(500)
    until(sampler, lambda sample: sample.get("power_w") == 500.0)
    ipmi_bmc.stop()
    lost = until(sampler, lambda sample: "lost" in sample)
    assert lost["lost"].startswith("ipmitool")
    sampler.close()


@pytest.mark.parametrize(
    ("watts", "reason", "hint"),
    [
        (0, "the BMC reports 0 W: it does not measure power", "bmc:url"),
        (-0xC1, "ipmitool: DCMI request failed because: Invalid command (c1)", "bmc:url"),
    ],
)
def test_a_bmc_without_a_meter(ipmi_bmc, watts: int, reason: str, hint: str) -> None:
    """No device, and another way."""
    ipmi_bmc.report(watts)
    probe = node.probe(ipmi_bmc.options)
    assert (probe["devices"], probe["reason"]) == ([], reason)
    assert hint in probe["hint"]


def test_a_wrong_password(ipmi_bmc, monkeypatch) -> None:
    """ipmitool's words, without the password."""
    monkeypatch.setenv(ipmi_bmc.options["password_env"], "wr0ng")
    probe = node.probe(ipmi_bmc.options)
    assert probe["reason"] == "ipmitool: Error: Unable to establish IPMI v2 / RMCP+ session"
    assert "password" in probe["hint"]
    assert "wr0ng" not in json.dumps(probe)


def test_a_host_without_a_bmc() -> None:
    """The real message of ipmitool where there is no /dev/ipmi0, and what to do."""
    if shutil.which("ipmitool") is None:
        pytest.skip("ipmitool is not installed (Debian: ipmitool)")
    if Path("/dev/ipmi0").exists():
        pytest.skip("this host has a BMC")
    probe = node.probe({})
    assert probe["devices"] == []
    assert probe["reason"].startswith("ipmitool: Could not open device at /dev/ipmi0")
    assert "modprobe ipmi_si" in probe["hint"]


def test_a_host_without_ipmitool(monkeypatch, tmp_path: Path) -> None:
    """It says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    probe = node.probe({})
    assert probe["reason"] == "ipmitool is not installed here"
    assert "install the package ipmitool" in probe["hint"]


def test_a_variable_that_is_not_set(monkeypatch) -> None:
    """Its name is in the reason."""
    monkeypatch.delenv("BENCH_NO_SUCH", raising=False)
    probe = node.probe({"host": "127.0.0.1", "user": "u", "password_env": "BENCH_NO_SUCH"})
    assert "BENCH_NO_SUCH" in probe["reason"]


def test_the_password_is_not_an_argument(ipmitool, password: str, monkeypatch) -> None:
    """Others can read arguments, not the environment. {hostname} is this host's name."""
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    record = ipmitool("echo '    Instantaneous power reading:   77 Watts'")
    options = {"host": "{hostname}-bmc", "user": "admin", "password_env": "BENCH_TEST_BMC_PASSWORD"}
    assert node.probe(options)["devices"]
    arguments, secret = record.read_text().splitlines()[:2]
    assert arguments == "-I lanplus -H node7-bmc -U admin -E -N 1 -R 2 dcmi power reading"
    assert secret == password


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_outputs(ipmitool, tmp_path: Path, name: str) -> None:
    """The instantaneous power, not the mean; 0 W is no reading."""
    output = tmp_path / "output"
    output.write_text(CAPTURED[name]["text"])
    ipmitool(f"cat {output}")
    probe = node.probe({})
    if CAPTURED[name]["power_w"] is None:
        assert probe["devices"] == []
        assert "0 W" in probe["reason"]
        return
    assert probe["devices"] == [{"index": 0, "name": "host"}]
    sampler = node.sampler({}, [0])
    assert sampler is not None
    time.sleep(0.3)
    assert sampler.sample() == [{"device": 0, "power_w": CAPTURED[name]["power_w"]}]
    sampler.close()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "ipmitool: code 0"),
        ("echo garbage", "ipmitool printed no power reading: garbage"),
        ("printf '\\377\\000' ; exit 3", "ipmitool: "),
        ("echo 'Segmentation fault' >&2; exit 139", "ipmitool: Segmentation fault"),
        (
            "echo 'Could not open device at /dev/ipmi0: Permission denied' >&2; exit 1",
            "ipmitool: Could not open device at /dev/ipmi0: Permission denied",
        ),
        ("exec sleep 60", "ipmitool did not answer within 0.3 s"),
    ],
)
def test_an_ipmitool_that_fails(ipmitool, monkeypatch, script: str, reason: str) -> None:
    """Each is a reason with a hint."""
    monkeypatch.setattr("tokenbench_hardware_bmc.node.ipmi._LIMIT_S", 0.3)
    ipmitool(script)
    probe = node.probe({})
    assert probe["devices"] == []
    assert probe["reason"].startswith(reason)
    assert probe["hint"]


def test_a_slow_bmc_does_not_delay_samples(ipmitool) -> None:
    """A sample never waits, and closing does not wait for the answer."""
    ipmitool("exec sleep 5")
    sampler = node.sampler({}, [0])
    assert sampler is not None
    time.sleep(0.2)
    started = time.monotonic()
    assert sampler.sample() == [{"device": 0}]
    assert time.monotonic() - started < 0.02
    sampler.close()
    assert time.monotonic() - started < 1.0
