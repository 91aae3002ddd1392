"""A host's /proc and /sys as Linux lays them out: two Xeon packages with RAPL, sensors, cpufreq.

Layout: docs.kernel.org, power/powercap and hwmon/coretemp. Names and ranges as on a two-socket Xeon
Gold server (`grep . /sys/class/powercap/*/name`). Files are plain files, so that tests can change
the counters like the kernel does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

RANGE_UJ = 262143328850
CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @  2.00GHz
cpu MHz\t\t: 2000.000

processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @  2.00GHz
"""


class Host:
    """The trees' roots, and what the kernel would change in them."""

    def __init__(self, root: Path) -> None:
        self.proc, self.sys = root / "proc", root / "sys"
        self.put(self.proc / "cpuinfo", CPUINFO)
        self.put(self.proc / "meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
        self.put(self.proc / "sys/kernel/osrelease", "6.1.0-18-amd64\n")
        self.stat(user=1000, idle=9000)

    @property
    def options(self) -> dict[str, str]:
        """The node program's options."""
        return {"proc": str(self.proc), "sys": str(self.sys)}

    def put(self, file: Path, text: str) -> Path:
        """Write a file, and create its folders."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def stat(self, *, user: int, idle: int, iowait: int = 0, guest: int = 0) -> None:
        """Set all cores' ticks: user nice system idle iowait irq softirq steal guest gnice."""
        first = f"cpu  {user} 0 0 {idle} {iowait} 0 0 0 {guest} 0\n"
        self.put(self.proc / "stat", f"{first}cpu0 1 0 0 1 0 0 0 0 0 0\nbtime 1\n")

    def energy(self, domain: str, microjoules: int) -> Path:
        """Set a counter's value."""
        return self.put(self._powercap(domain) / "energy_uj", f"{microjoules}\n")

    def rapl(self) -> None:
        """Create domains of two packages, each with its memory, the board, and package 0 through
        MMIO.
        """
        domains = {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "dram",
            "intel-rapl:1": "package-1",
            "intel-rapl:1:0": "dram",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0",
        }
        links = self.sys / "class/powercap"
        links.mkdir(parents=True)
        for domain, name in domains.items():
            folder = self._powercap(domain)
            self.put(folder / "name", f"{name}\n")
            self.put(folder / "max_energy_range_uj", f"{RANGE_UJ}\n")
            self.put(folder / "constraint_0_power_limit_uw", "180000000\n")
            self.put(folder / "constraint_0_max_power_uw", "205000000\n")
            self.energy(domain, 5_000_000)
            (links / domain).symlink_to(folder)
        control = self._powercap("intel-rapl")
        self.put(control / "enabled", "1\n")
        (links / "intel-rapl").symlink_to(control)

    def sensors(self) -> None:
        """Create a coretemp chip per package, another chip, and 20 frequency policies."""
        hwmon = self.sys / "class/hwmon"
        for number, heat in enumerate((51000, 63000)):
            chip = hwmon / f"hwmon{number}"
            self.put(chip / "name", "coretemp\n")
            self.put(chip / "temp1_label", f"Package id {number}\n")
            self.put(chip / "temp1_input", f"{heat}\n")
            self.put(chip / "temp2_label", "Core 0\n")
            self.put(chip / "temp2_input", "90000\n")
        self.put(hwmon / "hwmon2/name", "nvme\n")
        self.put(hwmon / "hwmon2/temp1_input", "99000\n")
        for number in range(20):
            policy = self.cpu / f"cpufreq/policy{number}"
            self.put(policy / "scaling_cur_freq", f"{2_000_000 + number * 1000}\n")
            self.put(policy / "scaling_governor", "performance\n")
            self.put(policy / "scaling_driver", "intel_pstate\n")
            self.put(policy / "energy_performance_preference", "performance\n")
            self.put(policy / "scaling_min_freq", "800000\n")
            self.put(policy / "scaling_max_freq", "3200000\n")
            self.put(policy / "cpuinfo_max_freq", "3200000\n")
        self.put(self.cpu / "intel_pstate/no_turbo", "0\n")

    def cpus(self) -> None:
        """Create two sockets with four cores of two threads each, and counters of throttling."""
        for number in range(16):
            core, package = number % 8 % 4, number % 8 // 4
            threads = f"{number % 8},{number % 8 + 8}\n"
            topology = self.cpu / f"cpu{number}/topology"
            self.put(topology / "physical_package_id", f"{package}\n")
            self.put(topology / "core_id", f"{core}\n")
            self.put(topology / "core_cpus_list", threads)
            for name in ("core", "package"):
                self.throttle(number, f"{name}_throttle_count", 7)
                self.throttle(number, f"{name}_throttle_total_time_ms", 40)
        self.put(self.cpu / "smt/active", "1\n")
        self.put(self.cpu / "smt/control", "on\n")
        self.put(self.sys / "devices/system/node/has_cpu", "0-1\n")

    def throttle(self, number: int, name: str, value: int) -> None:
        """Set a CPU's counter of throttling."""
        self.put(self.cpu / f"cpu{number}/thermal_throttle" / name, f"{value}\n")

    def grace(self) -> None:
        """Create the power meters of two Grace sockets (names: Grace Performance Tuning Guide)."""
        names = [f"{part} Power Socket {n}" for n in (0, 1) for part in ("Grace", "CPU", "SysIO")]
        for number, name in enumerate(names):
            device = self.sys / f"class/hwmon/hwmon{number}/device"
            self.put(device / "power1_oem_info", f"{name}\n")
            self.put(device / "power1_average", f"{(number + 1) * 10_000_000}\n")

    @property
    def cpu(self) -> Path:
        """The kernel's folder of CPUs."""
        return self.sys / "devices/system/cpu"

    def _powercap(self, domain: str) -> Path:
        return self.sys / "devices/virtual/powercap" / domain


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without sensors, like a virtual machine."""
    return Host(tmp_path)
