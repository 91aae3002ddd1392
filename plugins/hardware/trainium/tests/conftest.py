"""A host with Neuron devices: files of /sys and /proc, and stand-ins for Neuron's tools, which
print what the real ones printed elsewhere (`captured`).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_trainium import node
from tokenbench_hardware_trainium.node import telemetry

CAPTURED = Path(__file__).parent / "captured"
INITIAL = "pid:[4026531836]"


class Host:
    """Its `options` lead node programs to its files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.tools = folder / "bin"
        self.options: dict[str, Any] = {
            "sys": str(folder / "sys"),
            "proc": str(folder / "proc"),
            "tools": str(self.tools),
        }
        self.tools.mkdir()
        namespace = folder / "proc/self/ns"
        namespace.mkdir(parents=True)
        (namespace / "pid").symlink_to(INITIAL)
        monkeypatch.setenv("PATH", f"{self.tools}:{os.environ['PATH']}")

    def in_container(self) -> None:
        """Give it a pid namespace of its own."""
        link = self.folder / "proc/self/ns/pid"
        link.unlink()
        link.symlink_to("pid:[4026532291]")

    def tool(self, name: str, script: str) -> None:
        """Install a program: a Python script."""
        path = self.tools / name
        path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def prints(self, name: str, file: str) -> None:
        """Install a program that prints a captured file and ends."""
        self.tool(name, f"sys.stdout.write(open({str(CAPTURED / file)!r}).read())")

    def streams(self, file: str, *, reports: int = 10_000, then: str = "") -> None:
        """Install a neuron-monitor that prints a captured report often, then does something."""
        self.tool(
            "neuron-monitor",
            f"line = open({str(CAPTURED / file)!r}).read()\n"
            f"for _ in range({reports}):\n"
            f"    sys.stdout.write(line); sys.stdout.flush(); time.sleep(0.05)\n{then}",
        )

    def write(self, path: str, text: str) -> None:
        """Write a file of /sys."""
        file = self.folder / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def driver(self, *devices: int, name: str = "Trainium2", used: int = 1 << 30) -> None:
        """The driver's files of these devices, with two cores each."""
        self.write("module/neuron/version", "2.26.5.0")
        for device in devices:
            folder = f"devices/virtual/neuron_device/neuron{device}"
            self.write(f"{folder}/info/serial_number", "9ff5434815c8bd80")
            self.write(f"{folder}/info/architecture/device_name", name)
            self.write(f"{folder}/stats/hardware/mem_ecc_uncorrected", "0")
            for core in range(2):
                total = f"{folder}/neuron_core{core}/stats/memory_usage/device_mem/total"
                self.write(total, str(used))


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
