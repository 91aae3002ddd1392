"""TPU chips are found in /sys, or by their device nodes and the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenbench_hardware_tpu import node
from tokenbench_hardware_tpu.catalogue import CATALOGUE
from tokenbench_hardware_tpu.node import chips
from tokenbench_hardware_tpu.node import host as host_files

SRC = Path(node.__file__).parent.parent
OLD_PYTHON = Path(sys.base_prefix).parent / "3.8.18/bin/python3.8"


def test_chips_of_v6e_are_found(host) -> None:
    """All fields; a chip is used by the process that has its VFIO node open."""
    folder = host.pci(
        "0000:00:04.0",
        "0x006f",
        0,
        numa_node="1",
        current_link_speed="32.0 GT/s PCIe",
        max_link_speed="32.0 GT/s PCIe",
        current_link_width="16",
        max_link_width="16",
    )
    (folder / "driver").symlink_to("../../../../bus/pci/drivers/vfio-pci")
    host.pci("0000:00:05.0", "0x006f", 1, numa_node="-1")
    host.process(7, "/dev/null", "/dev/vfio/vfio", "/dev/vfio/0")
    host.process(8, "socket:[1]")
    found = node.probe(host.options)
    assert found["devices"] == [
        {
            "index": 0,
            "name": "Google TPU v6e",
            "sku": "tpuv6e",
            "pids": [7],
            "pci": "0000:00:04.0",
            "numa_node": 1,
            "pcie": {"generation": 5, "width": 16, "max_generation": 5, "max_width": 16},
            "driver": "vfio-pci",
        },
        {
            "index": 1,
            "name": "Google TPU v6e",
            "sku": "tpuv6e",
            "pids": [],
            "pci": "0000:00:05.0",
        },
    ]
    assert {"power_w", "energy_j", "throttle", "clock_hz"} <= set(found["notes"])
    assert found["notes"]["utilization"] == "tpu-info is not in PATH (pip install tpu-info)"


def test_catalogue_has_every_generation_that_is_found() -> None:
    """Names of the catalogue, for v5e and later."""
    known = {sku.name for sku in CATALOGUE}
    assert {sku for _, sku in chips._PCI_IDS.values() if sku} == known


def test_cores_of_tpu7x_are_one_chip(host) -> None:
    """It has a PCI function for each of two cores."""
    for chip, address in enumerate(("0000:00:05", "0000:00:04")):
        host.pci(f"{address}.0", "0x0076", 2 * chip)
        host.pci(f"{address}.1", "0x0076", 2 * chip + 1)
    host.process(7, "/dev/vfio/3")
    first, second = node.probe(host.options)["devices"]
    # In the order of device nodes, as tpu-info has them.
    assert (first["pci"], first["pids"]) == ("0000:00:05.0", [])
    assert (second["pci"], second["pids"]) == ("0000:00:04.0", [7])
    assert second["sku"] == "tpuv7"


def test_nodes_are_in_order_of_their_numbers(host) -> None:
    """10 comes after 9."""
    for number in (10, 9, 2):
        host.pci(f"0000:00:{number:02x}.0", "0x0063", number)
    found = node.probe(host.options)["devices"]
    assert [one["pci"] for one in found] == ["0000:00:02.0", "0000:00:09.0", "0000:00:0a.0"]


def test_older_driver(host) -> None:
    """TPU v4 has /dev/accel nodes; it is no SKU of the catalogue."""
    folder = host.pci("0000:00:04.0", "0x005e")
    (folder / "accel/accel0").mkdir(parents=True)
    host.process(9, "/dev/accel0")
    (device,) = node.probe(host.options)["devices"]
    assert device == {"index": 0, "name": "Google TPU v4", "pids": [9], "pci": "0000:00:04.0"}


def test_other_devices_of_google_are_no_tpus(host) -> None:
    """Its network card, and a device that breaks off while it is read."""
    host.pci("0000:00:03.0", "0x0042")
    (host.folder / "sys/bus/pci/devices/0000:00:09.0").mkdir()
    found = node.probe(host.options)
    assert found["reason"] == "no TPU on this machine: no PCI device of v5e, v5p, v6e or TPU7x"
    assert found["hint"]


def test_machine_without_pci(host) -> None:
    """/sys is empty."""
    assert "no TPU on this machine" in node.probe(host.options)["reason"]


def _nodes(host, *names: str) -> None:
    for name in names:
        path = host.folder / "dev" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("accelerator", "nodes", "sku", "count"),
    [
        ("v5litepod-4", ("vfio/vfio", "vfio/0", "vfio/1", "vfio/2", "vfio/3"), "tpuv5e", 4),
        ("v5p-8", ("vfio/vfio", "vfio/0", "vfio/1"), "tpuv5p", 2),
        ("v6e-1", ("accel0",), "tpuv6e", 1),
        ("tpu7x-4", ("vfio/vfio", "vfio/0", "vfio/1", "vfio/2", "vfio/3"), "tpuv7", 2),
    ],
)
def test_container_without_sys(host, monkeypatch, accelerator, nodes, sku, count) -> None:
    """Device nodes, and the environment for the generation."""
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", accelerator)
    monkeypatch.setenv("TPU_WORKER_ID", "1")
    _nodes(host, *nodes)
    found = node.probe(host.options)
    assert [one["sku"] for one in found["devices"]] == [sku] * count
    assert found["facts"] == {"TPU_ACCELERATOR_TYPE": accelerator, "TPU_WORKER_ID": "1"}


def test_vfio_nodes_alone_are_no_tpus(host) -> None:
    """They may belong to any device."""
    _nodes(host, "vfio/vfio", "vfio/0")
    assert "devices" not in node.probe(host.options)


def test_environment_without_nodes(host, monkeypatch) -> None:
    """A container of a TPU VM, to which no device was passed."""
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v6e-8")
    found = node.probe(host.options)
    assert found["reason"].startswith("TPU_ACCELERATOR_TYPE is v6e-8, but neither")
    assert "/dev/vfio" in found["hint"]


def test_users_of_a_container_may_be_hidden(host) -> None:
    """Who is seen is reported; nobody seen does not mean nobody."""
    host.namespace("pid:[4026532291]")
    host.chips(2)
    host.process(7, "/dev/vfio/1")
    found = node.probe(host.options)
    assert "pids" not in found["devices"][0]
    assert found["devices"][1]["pids"] == [7]
    assert "container" in found["notes"]["pids"]


def test_processes_of_others_may_be_hidden(host, monkeypatch) -> None:
    """Their open files cannot be read (not by permissions here: tests run as root)."""
    host.chips(1)
    hidden = host.process(7, "/dev/vfio/0")
    whole = host_files._open_files

    def refuse(folder: Path) -> Iterator[str]:
        if folder == hidden:
            raise PermissionError(13, "Permission denied")
        return whole(folder)

    monkeypatch.setattr(host_files, "_open_files", refuse)
    assert "pids" not in node.probe(host.options)["devices"][0]


@pytest.mark.skipif(not OLD_PYTHON.exists(), reason="no Python 3.8 here")
def test_oldest_python(host) -> None:
    """The files alone work with Python 3.8: probe, sampler, readings."""
    host.chips(4)
    host.prints("tpu-info-0.14.2-v6e-metrics.txt")
    program = (
        "import json, sys, time; import node; options = json.loads(sys.argv[1])\n"
        "found = node.probe(options)\n"
        "sampler = node.sampler(options, [0, 1, 2, 3])\n"
        "for _ in range(100):\n"
        "    time.sleep(0.05)\n"
        "    if 'utilization' in sampler.sample()[0]: break\n"
        "print(json.dumps([found, sampler.sample()])); sampler.close()"
    )
    done = subprocess.run(
        [str(OLD_PYTHON), "-c", program, json.dumps(host.options)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, samples = json.loads(done.stdout)
    assert len(found["devices"]) == 4
    assert samples[3]["utilization"] == 0.375
