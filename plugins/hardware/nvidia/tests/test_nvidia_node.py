"""The node program: the real nvidia-ml-py with a compiled stub of the driver's library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import attrs
import pytest
from tokenbench_hardware_nvidia.node import devices, processes, readings

from tokenbench.api import DeviceInfo, PcieLink, Probe, Sample

FRESH = """
import sys
touched = []
def watch(event, args):
    if event == "ctypes.dlopen" or (event == "open" and str(args[0]).startswith("/dev/nvidia")):
        touched.append(args[0])
sys.addaudithook(watch)
from tokenbench_hardware_nvidia import plugin
(spec,) = plugin.bench_register_hardware()
assert spec.name == "nvidia" and spec.domain == "accelerator"
assert "tokenbench_hardware_nvidia.hardware" not in sys.modules
from tokenbench.api import PluginContext
hardware = spec.factory(spec.options(), PluginContext())
assert hardware.catalogue() and hardware.program() and hardware.settings("h200")
assert "pynvml" not in sys.modules and "ctypes" not in sys.modules and not touched
"""
MEMORY = 143771 << 20
RESERVED = 600 << 20
SUPPORTED = {
    *("power_w", "energy_j", "utilization", "memory_used_bytes", "temperature_c", "throttle"),
    *("memory_temperature_c", "clock_hz", "memory_clock_hz", "pids"),
}


def test_boards(ask) -> None:
    """All fields of a device, in the units of DeviceInfo."""
    found = ask()
    assert [d["index"] for d in found["probe"]["devices"]] == list(range(8))
    assert found["probe"]["devices"][0] == {
        "index": 0,
        "name": "NVIDIA H200",
        "uuid": "GPU-stub-0",
        "pci": "0000:1a:00.0",
        "driver": "580.95.05",
        "firmware": "96.00.A5.00.01",
        "memory_bytes": MEMORY,
        "memory_used_bytes": (5 << 30) - RESERVED,
        "power_limit_w": 700.0,
        "default_power_limit_w": 700.0,
        "max_clock_hz": 1.98e9,
        "ecc": True,
        "persistence": True,
        "pcie": {"generation": 5, "max_generation": 5, "width": 16, "max_width": 16},
        "scale_up_links": 18,
        "pids": [],
    }
    assert found["probe"]["facts"] == {"driver": "580.95.05", "cuda": "13.2"}
    assert found["shutdowns"] == 2  # one for the probe, one for the sampler that closed twice


def test_boards_that_differ(ask) -> None:
    """A lower limit, enforced or set; clocks that someone set; a downgraded PCIe link; a link that
    is down.
    """
    boards = ask()["probe"]["devices"]
    assert [board["power_limit_w"] for board in boards[:5]] == [700, 700, 600, 500, 700]
    assert [board.get("clocks_locked") for board in boards] == [*[None] * 4, True, None, None, True]
    assert boards[5]["pcie"]["generation"] == 1
    assert boards[6]["scale_up_links"] == 17


def test_readings(ask) -> None:
    """Units of Sample: W, fraction, bytes, degrees, Hz, and slowdown reasons of its vocabulary."""
    _, _, first = ask()["readings"][0]
    assert [s["device"] for s in first] == list(range(8))
    assert first[0].pop("energy_j") > 0
    assert first[0] == {
        "device": 0,
        "power_w": 700.0,
        "utilization": 0.77,
        "memory_used_bytes": (5 << 30) - RESERVED,
        "temperature_c": 62.0,
        "memory_temperature_c": 72.0,
        "clock_hz": 1.755e9,
        "memory_clock_hz": 3.2e9,
        "throttle": ["power cap", "thermal: hardware"],
        "pids": [],
    }
    assert first[2]["throttle"] == ["power cap"]


def test_the_api_takes_both(ask) -> None:
    """Keys and types are those of the classes."""
    found = ask(NVML_STUB_RACK="1", NVML_STUB_BROKEN="0")
    for device in found["probe"]["devices"]:
        link = PcieLink(**device.pop("pcie"))
        made = DeviceInfo(**device, pcie=link)
        assert isinstance(made.numa_node, int | None)
    assert set(found["probe"]) <= {field.name for field in attrs.fields(Probe)}
    for row in found["readings"][1][2]:
        assert isinstance(Sample(**row).power_w, float)


def test_energy_matches_power(ask) -> None:
    """The joules between two readings are 700 W times their interval."""
    (start, began, first), (ended, end, second) = ask(pause_s=0.1)["readings"]
    joules = second[0]["energy_j"] - first[0]["energy_j"]
    assert 700 * (ended - began) - 0.01 <= joules <= 700 * (end - start) + 0.01


def test_python_3_8(ask, oldest_python) -> None:
    """The same results with the oldest Python of a host, without packages."""
    new, old = ask(), ask(python=oldest_python)
    assert old["python"] == [3, 8]
    assert old["probe"] == new["probe"]
    for (_, _, before), (_, _, after) in zip(new["readings"], old["readings"], strict=True):
        assert [row.keys() for row in before] == [row.keys() for row in after]


def test_memory_without_a_sensor(ask) -> None:
    """It reports 0 degrees: not measured, with the reason."""
    found = ask()
    assert "memory_temperature_c" not in found["readings"][0][2][1]
    assert found["probe"]["notes"] == {
        "memory_temperature_c": "device 1: NVML: the memory has no sensor (it reports 0)"
    }


def test_a_rack(ask) -> None:
    """GPUs of an NVL72 share a cluster and a clique."""
    boards = ask(NVML_STUB_RACK="1")["probe"]["devices"]
    assert {board["fabric"] for board in boards} == {
        "00010203-0405-0607-0809-0a0b0c0d0e0f clique 7"
    }


def test_faults(ask) -> None:
    """What the driver reports as broken, in words; of that board only."""
    boards = ask(NVML_STUB_BROKEN="3")["probe"]["devices"]
    assert [index for index, board in enumerate(boards) if "faults" in board] == [3]
    assert boards[3]["faults"] == [
        "2 uncorrected memory errors since the driver was loaded",
        "memory pages wait for retirement (reset the GPU)",
        "memory rows wait to be remapped (reset the GPU)",
        "remapping of memory rows failed",
        "the driver asks for recovery: reboot the host",
        "NVLink fabric: degraded bandwidth",
        "NVLink fabric: configuration: too few NVLinks",
    ]


def test_processes(ask) -> None:
    """Compute, graphics and MPS processes of this host, read once a second."""
    mine, parent = os.getpid(), os.getppid() or 1
    found = ask(NVML_STUB_PIDS=f"{mine},{parent},{mine}")
    assert found["probe"]["devices"][0]["pids"] == sorted({mine, parent})
    assert found["probe"]["devices"][1]["pids"] == []
    for _, _, rows in found["readings"]:
        assert rows[0]["pids"] == sorted({mine, parent})
    once = 3 * 8 + 3 + 2  # three lists of eight boards; a list with a process takes two calls
    assert found["pid_calls"] in range(3 * 24, 3 * once + 1)


def test_processes_in_another_namespace() -> None:
    """Numbers that do not exist here, or none at all in a container: unknown."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = os.getpid()
    first = "pid:[4026531836]"
    assert processes.here({mine, gone.pid}, first) == [mine]
    assert processes.here(set(), first) == []
    assert processes.here({mine, gone.pid}, "pid:[4026532999]") is None
    assert processes.here(set(), "pid:[4026532999]") is None
    assert processes.here({mine}, "pid:[4026532999]") == [mine]
    assert processes.here({mine, 1}, first) == [1, mine]


def test_numa_node(tmp_path, monkeypatch) -> None:
    """From the kernel; -1, a missing file and nonsense are unknown."""
    monkeypatch.setattr(devices, "SYSFS", str(tmp_path))
    texts = {"a": "1\n", "b": "-1\n", "c": "?\n"}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "numa_node").write_text(text)
    assert [devices._numa_node(name) for name in ("a", "b", "c", "d")] == [1, None, None, None]


def test_an_old_driver(ask, old_driver) -> None:
    """A V100 with driver 450: older functions give the same; the rest is unknown, with reasons."""
    found = ask(library=old_driver, NVML_STUB_PIDS=str(os.getpid()))
    board = found["probe"]["devices"][0]
    assert board["memory_used_bytes"] == 5 << 30  # with what the driver reserves
    assert board["pids"] == [os.getpid()]
    assert "fabric" not in board
    assert "fabric (NVML: Function Not Found)" in found["probe"]["facts"]["not read"]
    _, _, rows = found["readings"][0]
    assert set(rows[0]) == {"device", *SUPPORTED}
    assert rows[0]["temperature_c"] == 61.0
    assert rows[0]["throttle"] == ["power cap", "thermal: hardware"]


def test_an_old_binding(ask, program, driver, tmp_path) -> None:
    """A function that nvidia-ml-py lacks affects only its field."""
    folder = tmp_path / "old"
    shutil.copytree(program, folder)
    binding = folder / "pynvml.py"
    text = binding.read_text()
    for name in ("TemperatureV", "GpuFabricInfoV", "TotalEnergyConsumption"):
        assert f"def nvmlDeviceGet{name}(" in text
        text = text.replace(f"def nvmlDeviceGet{name}(", f"def missing{name}(")
    binding.write_text(text)
    found = ask(folder=folder)
    _, _, rows = found["readings"][0]
    assert set(rows[0]) == {"device", *SUPPORTED} - {"energy_j"}
    assert rows[0]["temperature_c"] == 61.0
    assert found["probe"]["notes"]["energy_j"] == (
        "NVML: this nvidia-ml-py has no nvmlDeviceGetTotalEnergyConsumption"
    )


def test_instances(ask) -> None:
    """A board in MIG mode is listed by its instances, selected by UUID, with their own memory."""
    found = ask(NVML_STUB_MIG="5")
    boards = found["probe"]["devices"]
    assert [board["index"] for board in boards] == [0, 1, 2, 3, 4, 600, 603, 6, 7]
    one, two = boards[5], boards[6]
    assert (one["name"], one["partition"]) == ("NVIDIA H200 MIG 3g.71gb", "MIG 3g.71gb")
    assert (two["name"], two["partition"]) == ("NVIDIA H200 MIG 1g.18gb", "MIG 1g.18gb")
    assert one["handle"] == one["uuid"] == "MIG-stub-5-0"
    assert one["memory_bytes"] == 70144 << 20
    assert not {"power_limit_w", "max_clock_hz", "scale_up_links"} & set(one)
    assert boards[0]["handle"] == "GPU-stub-0"  # CUDA does not count boards in MIG mode


def test_readings_of_instances(ask) -> None:
    """Power, energy and clocks are the board's: not measured, with the reason. The rest is."""
    found = ask(NVML_STUB_MIG="5")
    _, _, rows = found["readings"][0]
    assert set(rows[5]) == {
        *("device", "memory_used_bytes", "temperature_c", "memory_temperature_c"),
        *("throttle", "pids"),
    }
    assert rows[5]["device"] == 600
    assert rows[0]["power_w"] == 700
    for field in ("power_w", "energy_j", "utilization", "clock_hz", "memory_clock_hz"):
        assert found["probe"]["notes"][field].startswith("device 600, 603: a MIG instance")


def test_a_board_without_instances(ask) -> None:
    """CUDA cannot use it: it is no device."""
    found = ask(NVML_STUB_MIG="5", NVML_STUB_MIG_EMPTY="1")
    assert len(found["probe"]["devices"]) == 7
    assert found["probe"]["facts"]["device 5"] == "excluded: in MIG mode without instances"


def test_the_cost_of_a_reading(ask) -> None:
    """Eight boards take well under 0.1 s (the stub's answers take no time)."""
    for start, end, rows in ask()["readings"]:
        assert len(rows) == 8
        assert end - start < 0.1


def test_slowdown_reasons() -> None:
    """Bits to the vocabulary; unknown bits are shown as a number."""
    assert readings.reasons(0) == []
    assert readings.reasons(0x8 | 0x80) == ["hardware: slowdown", "hardware: power brake"]
    assert readings.reasons(0x1 | 0x4000) == ["idle", "other: 0x4000"]


def test_slowdown_reasons_match_nvml() -> None:
    """Every bit in the installed nvidia-ml-py has a name."""
    pynvml: Any = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    assert not pynvml.nvmlClocksThrottleReasonAll & ~sum(readings.REASONS)


def test_only_a_host_loads_the_driver() -> None:
    """Import, registration, catalogue, settings and program load no driver."""
    subprocess.run([sys.executable, "-c", FRESH], check=True)
