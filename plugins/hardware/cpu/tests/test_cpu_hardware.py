"""The host's CPU, on this machine and with simulated /proc and /sys."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tokenbench_hardware_cpu import node

FRESH = """
import sys
touched = []
def watch(event, args):
    if event == "open" and str(args[0]).startswith(("/proc/", "/sys/")):
        touched.append(args[0])
sys.addaudithook(watch)
from tokenbench_hardware_cpu import plugin
(spec,) = plugin.bench_register_hardware()
assert spec.name == "cpu" and spec.domain == "cpu"
assert "tokenbench_hardware_cpu.host" not in sys.modules
from tokenbench.api import PluginContext
hardware = spec.factory(spec.options(), PluginContext())
assert [sku.tdp_w for sku in hardware.catalogue()] == [None]
program = hardware.program()
assert program.module not in sys.modules
assert not touched, touched
import importlib
assert importlib.import_module(program.module).probe(dict(program.options))["devices"]
assert touched
"""
UNPRIVILEGED = """
import os, sys
from tokenbench_hardware_cpu import node
if os.geteuid() == 0:
    os.setuid(65534)
options = {"sys": sys.argv[1]}
(sample,) = node.sampler(options, [0]).sample()
assert not {"power_w", "energy_j"} & set(sample)
print(node.probe(options)["notes"]["energy_j"])
"""


def test_this_host() -> None:
    """One device with name, memory and usable cores; each unmeasured value has a note."""
    probe = node.probe({})
    (device,) = probe["devices"]
    assert device["index"] == 0
    assert device["memory_bytes"] > 1 << 28
    assert device["name"] in device["sku"]
    assert probe["facts"]["cores"] == str(len(os.sched_getaffinity(0)))
    assert probe["facts"]["kernel"] == os.uname().release
    sampler = node.sampler({}, [0])
    assert sampler is not None
    sampler.sample()
    time.sleep(0.05)
    (sample,) = sampler.sample()
    for field in ("power_w", "energy_j", "temperature_c", "clock_hz", "throttle"):
        assert (field not in sample) == (field in probe["notes"]), field


def test_utilization_since_the_last_reading() -> None:
    """A busy loop increases it."""
    sampler = node.sampler({}, [0])
    assert sampler is not None
    sampler.sample()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    (sample,) = sampler.sample()
    assert 0.5 / (os.cpu_count() or 1) < sample["utilization"] <= 1.0
    assert sample["memory_used_bytes"]


def test_only_the_probe_reads_proc_and_sys() -> None:
    """Import, registration and catalogue do not, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_simulated_host(host) -> None:
    """Name, memory, governor and kernel are from /proc and /sys."""
    host.rapl()
    host.sensors()
    host.cpus()
    probe = node.probe(host.options)
    (device,) = probe["devices"]
    assert device["name"] == "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"
    assert device["memory_bytes"] == 1000 * 1024
    assert probe["facts"]["governor"] == "performance"
    assert probe["facts"]["kernel"] == "6.1.0-18-amd64"
    assert not probe["notes"]


def test_topology_and_clocks(host) -> None:
    """Sockets, cores, threads, NUMA nodes, boost and limits of two packages."""
    host.rapl()
    host.sensors()
    host.cpus()
    probe = node.probe(host.options)
    (device,) = probe["devices"]
    expected = {
        "sockets": "2",
        "physical_cores": "8",
        "logical_cpus": "16",
        "numa_nodes": "2",
        "smt": "on",
        "boost": "on",
        "clock_driver": "intel_pstate",
        "energy_preference": "performance",
        "memory_energy": "2 RAPL domains, not included",
    }
    assert {name: probe["facts"][name] for name in expected} == expected
    assert "clock_policy" not in probe["facts"]
    assert (device["power_limit_w"], device["default_power_limit_w"]) == (360.0, 410.0)
    assert device["max_clock_hz"] == 3.2e9
    assert device["clocks_locked"] is False
    assert device["memory_used_bytes"] == 600 * 1024


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("acpi-cpufreq", "powersave: clocks stay at their lowest value"),
        ("amd-pstate-epp", "powersave: clocks follow the load"),
    ],
)
def test_powersave_is_explained(host, driver: str, words: str) -> None:
    """It means different things with different drivers."""
    host.put(host.cpu / "cpufreq/policy0/scaling_governor", "powersave\n")
    host.put(host.cpu / "cpufreq/policy0/scaling_driver", f"{driver}\n")
    host.put(host.cpu / "cpufreq/boost", "0\n")
    facts = node.probe(host.options)["facts"]
    assert facts["governor"] == "powersave"
    assert facts["clock_policy"].startswith(words)
    assert "cpupower frequency-set -g performance" in facts["clock_policy"]
    assert facts["boost"] == "off"


def test_locked_clocks(host) -> None:
    """All policies have one allowed clock."""
    for number in range(2):
        for name in ("scaling_min_freq", "scaling_max_freq"):
            host.put(host.cpu / f"cpufreq/policy{number}" / name, f"{number + 1}000000\n")
    assert node.probe(host.options)["devices"][0]["clocks_locked"] is True


def test_numa_nodes_without_cpus_do_not_count(host) -> None:
    """The memory of a Hopper GPU is a node of a Grace host."""
    host.put(host.sys / "devices/system/node/has_cpu", "0-1,4\n")
    host.put(host.sys / "devices/system/node/online", "0-9\n")
    assert node.probe(host.options)["facts"]["numa_nodes"] == "3"


def test_an_absurd_limit_is_left_out(host) -> None:
    """Firmware without a limit sets the register's greatest value."""
    host.rapl()
    package = host.sys / "class/powercap/intel-rapl:1"
    host.put(package / "constraint_0_power_limit_uw", "4095875000\n")
    host.put(package / "constraint_0_max_power_uw", "0\n")
    (device,) = node.probe(host.options)["devices"]
    assert not {"power_limit_w", "default_power_limit_w"} & set(device)


def test_throttling_since_the_last_reading(host) -> None:
    """A reason is there when its counter has grown; a counter that fails takes no other with it."""
    host.cpus()
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    assert sampler.sample()[0]["throttle"] == []
    host.throttle(5, "core_throttle_count", 8)
    assert sampler.sample()[0]["throttle"] == ["thermal: a core"]
    assert sampler.sample()[0]["throttle"] == []
    host.put(host.cpu / "cpu5/thermal_throttle/core_throttle_count", "")
    host.throttle(4, "package_throttle_total_time_ms", 90)
    assert sampler.sample()[0]["throttle"] == ["thermal: the package"]
    sampler.close()
    sampler.close()


def test_a_grace_host_has_power_meters(host) -> None:
    """Two sockets are summed, their parts are not; there is no energy counter."""
    host.grace()
    probe = node.probe(host.options)
    assert probe["notes"]["energy_j"] == "the CPU's power meter has no energy counter"
    assert "power_w" not in probe["notes"]
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    (sample,) = sampler.sample()
    assert sample["power_w"] == pytest.approx(10 + 40)
    host.put(host.sys / "class/hwmon/hwmon3/device/power1_average", "")
    assert "power_w" not in sampler.sample()[0]
    assert sampler.sample()[0]["memory_used_bytes"]


def test_an_arm_host_has_implementer_and_part(host) -> None:
    """Arm's /proc/cpuinfo has no model name (Neoverse V2, Linux 6.1)."""
    host.put(host.proc / "cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n")
    (device,) = node.probe(host.options)["devices"]
    assert device["name"].endswith("implementer 0x41 part 0xd4f")


def test_ticks(host) -> None:
    """iowait is not busy and may decrease; guest time counts once; without ticks utilization is
    None.
    """
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    (same,) = sampler.sample()
    assert "utilization" not in same
    assert same["memory_used_bytes"] == 600 * 1024
    host.stat(user=1300, idle=9050, iowait=50, guest=300)
    (sample,) = sampler.sample()
    assert sample["utilization"] == pytest.approx(300 / 400)
    host.stat(user=1400, idle=9050, iowait=0, guest=300)
    (backwards,) = sampler.sample()
    assert backwards["utilization"] == 1.0


def test_only_packages_are_summed(host) -> None:
    """No memory, no board, no MMIO view of a package. Power needs two readings."""
    host.rapl()
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    before = time.monotonic()
    (first,) = sampler.sample()
    after = time.monotonic()
    assert first["energy_j"] == 0.0
    assert "power_w" not in first
    time.sleep(0.1)
    for domain in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        host.energy(domain, 5_000_000 + 3_000_000)
    host.energy("intel-rapl:1", 5_000_000 + 4_000_000)
    latest = time.monotonic()
    (second,) = sampler.sample()
    assert second["energy_j"] == pytest.approx(7.0)
    assert 7 / (time.monotonic() - before) <= second["power_w"] <= 7 / (latest - after)


def test_counter_wrap_around_is_corrected(host) -> None:
    """The counter restarts at 0 after its range; the sum does not."""
    host.rapl()
    host.energy("intel-rapl:0", 262143328850 - 1_000_000)
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    host.energy("intel-rapl:0", 2_000_000)
    assert sampler.sample()[0]["energy_j"] == pytest.approx(3.0)
    host.energy("intel-rapl:0", 2_500_000)
    assert sampler.sample()[0]["energy_j"] == pytest.approx(3.5)


def test_a_failed_reading_loses_no_energy(host) -> None:
    """It is None, and the next reading includes its energy."""
    host.rapl()
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    sampler.sample()
    host.energy("intel-rapl:0", 6_000_000).write_text("")
    assert "energy_j" not in sampler.sample()[0]
    host.energy("intel-rapl:0", 8_000_000)
    assert sampler.sample()[0]["energy_j"] == pytest.approx(3.0)


def test_a_counter_readable_by_root_only(host) -> None:
    """The note has the reason and a remedy, for a real unprivileged user."""
    host.rapl()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        root = Path(name, "sys")
        host.sys.rename(root)
        links = root / "class/powercap"
        for link in list(links.iterdir()):
            target = root / "devices/virtual/powercap" / link.name
            link.unlink()
            link.symlink_to(target)
        (links / "intel-rapl:1/energy_uj").chmod(0)
        command = [sys.executable, "-c", UNPRIVILEGED, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "intel-rapl:1/energy_uj is readable by root only" in done.stdout
    assert "chmod a+r" in done.stdout


def test_temperature_and_clock(host) -> None:
    """The hottest package, not a core or a disk; the mean of at most 8 clocks."""
    host.sensors()
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    (sample,) = sampler.sample()
    assert sample["temperature_c"] == 63.0
    numbers = range(0, 20, 3)
    assert sample["clock_hz"] == pytest.approx(2e9 + sum(numbers) / len(numbers) * 1e6)


def test_an_amd_package(host) -> None:
    """k10temp reports a die's temperature with and without offset; the latter is used."""
    chip = host.sys / "class/hwmon/hwmon0"
    host.put(chip / "name", "k10temp\n")
    for number, (label, heat) in enumerate((("Tctl", 77000), ("Tdie", 50000), ("Tccd1", 60000)), 1):
        host.put(chip / f"temp{number}_label", f"{label}\n")
        host.put(chip / f"temp{number}_input", f"{heat}\n")
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    assert sampler.sample()[0]["temperature_c"] == 50.0


def test_a_host_without_sensors(host) -> None:
    """Values are None, never 0, and each has a note with a remedy."""
    notes = node.probe(host.options)["notes"]
    assert set(notes) == {"power_w", "energy_j", "temperature_c", "clock_hz", "throttle"}
    assert "modprobe" in notes["power_w"]
    sampler = node.sampler(host.options, [0])
    assert sampler is not None
    (sample,) = sampler.sample()
    assert set(sample) == {"device", "memory_used_bytes"}


def test_a_system_without_proc_has_no_device(tmp_path: Path) -> None:
    """A reason and a hint, no exception."""
    options = {"proc": str(tmp_path), "sys": str(tmp_path)}
    probe = node.probe(options)
    assert probe["devices"] == []
    assert str(tmp_path / "stat") in probe["reason"]
    assert probe["hint"] == "hardware cpu needs Linux with /proc"
    assert node.sampler(options, [0]) is None
