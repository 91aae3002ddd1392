"""A host with TPUs: files of /sys, /dev and /proc, and a stand-in for tpu-info that prints what the
real one printed elsewhere (`captured`).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_tpu import node
from tokenbench_hardware_tpu.node import telemetry

CAPTURED = Path(__file__).parent / "captured"


class Host:
    """Its `options` lead node programs to its files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.options: dict[str, Any] = {name: str(folder / name) for name in ("sys", "dev", "proc")}
        self.tools = folder / "bin"
        self.tools.mkdir()
        (folder / "proc/self/ns").mkdir(parents=True)
        self.namespace("pid:[4026531836]")
        monkeypatch.setenv("PATH", f"{self.tools}:/usr/bin:/bin")
        for name in [name for name in os.environ if name.startswith("TPU_")]:
            monkeypatch.delenv(name)

    def namespace(self, pids: str) -> None:
        """Set its pid namespace."""
        link = self.folder / "proc/self/ns/pid"
        link.unlink(missing_ok=True)
        link.symlink_to(pids)

    def pci(self, address: str, device: str, group: int | None = None, **files: str) -> Path:
        """A PCI device of Google's, in an IOMMU group."""
        folder = self.folder / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, content in {"vendor": "0x1ae0", "device": device, **files}.items():
            (folder / name).write_text(content + "\n")
        if group is not None:
            (folder / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group}")
        return folder

    def chips(self, number: int, device: str = "0x006f") -> None:
        """Chips with one core each, as v6e."""
        for chip in range(number):
            self.pci(f"0000:00:{4 + chip:02x}.0", device, chip)

    def process(self, pid: int, *files: str) -> Path:
        """A process with open files."""
        folder = self.folder / "proc" / str(pid) / "fd"
        folder.mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / str(number)).symlink_to(file)
        return folder

    def tool(self, script: str) -> None:
        """Install tpu-info: a Python script."""
        path = self.tools / "tpu-info"
        path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def prints(self, file: str) -> None:
        """Install a tpu-info that prints a captured file."""
        self.tool(f"sys.stdout.write(open({str(CAPTURED / file)!r}).read())")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host without anything."""
    monkeypatch.setattr(telemetry, "READY_S", 0.3)
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def sampler(host: Host, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes samplers, and closes them."""

    def make(*devices: int) -> Any:
        made = node.sampler(host.options, list(devices))
        assert made is not None
        request.addfinalizer(made.close)
        return made

    return make
