"""The host's CPU, on this machine and on trees laid out as the kernel does it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tokenbench_hardware_cpu.host import HostCpu
from tokenbench_hardware_cpu.rapl import Package, packages


def _rapl(root: Path, energy_uj: int) -> Path:
    """As Linux shows one package with its core domain (docs.kernel.org, power/powercap)."""
    package = root / "class/powercap/intel-rapl:0"
    core = root / "class/powercap/intel-rapl:0:0"
    for folder, name in ((package, "package-0"), (core, "core")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    return package


def test_this_host() -> None:
    """One device, named, with memory; what cannot be measured has a reason."""
    probe = HostCpu().probe()
    (device,) = probe.devices
    assert device.memory_bytes and device.memory_bytes > 1 << 28
    assert "cores" in (device.sku or "")
    if not packages(Path("/sys"))[0]:
        assert set(probe.notes) == {"power_w", "energy_j"}
        assert all(probe.notes.values())


def test_utilisation_is_a_share_since_the_last_reading() -> None:
    """A busy loop shows."""
    sampler = HostCpu().sampler([0])
    sampler.sample()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    (sample,) = sampler.sample()
    assert sample.utilization is not None
    assert 0.2 < sample.utilization <= 1.0
    assert sample.memory_used_bytes


def test_energy_counts_packages_only_and_unwraps(tmp_path: Path) -> None:
    """The core domain is inside the package; a counter that wrapped goes on."""
    folder = _rapl(tmp_path, 262143328850 - 1_000_000)
    found, reason = packages(tmp_path)
    assert (len(found), reason) == (1, None)
    package = Package(folder)
    (folder / "energy_uj").write_text("2000000\n")
    assert package.energy_j() == pytest.approx(3.0)


def test_power_comes_from_energy(tmp_path: Path) -> None:
    """Watts are joules over the time between two readings; the first reading has none."""
    folder = _rapl(tmp_path, 0)
    sampler = HostCpu(sys=tmp_path).sampler([0])
    (first,) = sampler.sample()
    assert (first.energy_j, first.power_w) == (0.0, None)
    (folder / "energy_uj").write_text("5000000\n")
    time.sleep(0.1)
    (second,) = sampler.sample()
    assert second.energy_j == pytest.approx(5.0)
    assert second.power_w is not None
    assert 5 < second.power_w <= 50


def test_a_tree_without_rapl_says_so(tmp_path: Path) -> None:
    """None and a reason, never 0."""
    found, reason = packages(tmp_path)
    assert found == []
    assert reason is not None
    (sample,) = HostCpu(sys=tmp_path).sampler([0]).sample()
    assert (sample.energy_j, sample.power_w) == (None, None)
