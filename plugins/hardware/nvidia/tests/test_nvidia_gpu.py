"""On a machine with an NVIDIA GPU: its real driver, beside nvidia-smi."""

from __future__ import annotations

import csv
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tokenbench_hardware_nvidia import node

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(
        not Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is None,
        reason="no NVIDIA GPU here: the real driver is not tested",
    ),
]


def smi(*fields: str) -> list[dict[str, str]]:
    """What nvidia-smi says of each GPU."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [dict(zip(fields, row, strict=True)) for row in rows]


def test_devices_as_nvidia_smi_lists_them() -> None:
    """Name, UUID, driver, firmware, limits, memory, PCI address and ECC are the same."""
    found = node.probe({})
    boards = smi(
        *("index", "name", "uuid", "driver_version", "vbios_version", "power.limit"),
        *("memory.total", "pci.bus_id", "mig.mode.current", "ecc.mode.current"),
    )
    whole = {d["index"]: d for d in found["devices"] if "partition" not in d}
    assert whole or found["devices"]
    for board in boards:
        if board["mig.mode.current"] == "Enabled":
            continue
        device = whole[int(board["index"])]
        assert device["name"] == board["name"]
        assert device["uuid"] == board["uuid"]
        assert device["driver"] == board["driver_version"]
        assert device["firmware"] == board["vbios_version"]
        assert device["power_limit_w"] == pytest.approx(float(board["power.limit"]), abs=1)
        assert device["memory_bytes"] >> 20 == int(board["memory.total"])
        assert board["pci.bus_id"].lower().endswith(device["pci"])
        assert board["ecc.mode.current"] == {True: "Enabled", False: "Disabled"}.get(
            device.get("ecc"), board["ecc.mode.current"]
        )


def test_readings_beside_nvidia_smi() -> None:
    """Power within 20 % or 5 W, temperature within 5 degrees, memory within 64 MiB; the energy
    counter within 20 % of the mean power; a reading of all GPUs well under 0.1 s.
    """
    found = node.probe({})
    indexes = [d["index"] for d in found["devices"] if "partition" not in d]
    if not indexes:
        pytest.skip("all GPUs here are in MIG mode")
    sampler = node.sampler({}, indexes)
    assert sampler is not None
    readings = []
    for _ in range(13):
        began = time.monotonic()
        readings.append((began, sampler.sample()))
        assert time.monotonic() - began < 0.1 or len(readings) == 1
        time.sleep(0.25)
    beside = {
        int(row["index"]): row
        for row in smi("index", "power.draw", "temperature.gpu", "memory.used")
    }
    sampler.close()
    for place, index in enumerate(indexes):
        rows = [samples[place] for _, samples in readings]
        last, other = rows[-1], beside[index]
        assert last["power_w"] == pytest.approx(float(other["power.draw"]), rel=0.2, abs=5)
        assert last["temperature_c"] == pytest.approx(float(other["temperature.gpu"]), abs=5)
        assert last["memory_used_bytes"] / 2**20 == pytest.approx(
            float(other["memory.used"]), abs=64
        )
        assert last["clock_hz"] > 1e8
        assert isinstance(last["throttle"], list)
        if "energy_j" in last:
            seconds = readings[-1][0] - readings[0][0]
            joules = last["energy_j"] - rows[0]["energy_j"]
            mean = sum(row["power_w"] for row in rows) / len(rows)
            assert joules / seconds == pytest.approx(mean, rel=0.2, abs=5)
