"""The AMD program for hosts: the real amdsmi with a compiled stub of its library."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Probe and sample with the stub, see the fixture `ask`.
Ask = Callable[..., dict[str, Any]]

STATUS = {
    "NO_PERM": 10,
    "BUSY": 30,
    "NOT_FOUND": 31,
    "NOT_INIT": 32,
    "DRIVER_NOT_LOADED": 34,
    "UNKNOWN_ERROR": 0xFFFFFFFF - 2**32,
}
# In the order of stub_sizes.
STRUCTS = [
    *("version", "asic_info", "board_info", "driver_info", "vbios_info", "power_info"),
    *("power_cap_info", "engine_usage", "vram_usage", "clk_info", "kfd_info", "enumeration_info"),
    *("xgmi_info", "xgmi_link_status", "error_count", "proc_info", "pcie_info"),
    *("gpu_xcp_metrics", "gpu_metrics"),
]
SIZES = """
import ctypes, json, sys
from amdsmi import amdsmi_wrapper as amd
library = amd._libraries["libamd_smi.so"]
names = json.loads(sys.argv[2])
theirs = [ctypes.sizeof(getattr(amd, f"struct_amdsmi_{name}_t")) for name in names]
print(json.dumps([theirs, list((ctypes.c_uint32 * len(names)).in_dll(library, "stub_sizes"))]))
"""
# Probe and sample twice for each value of AMD_STUB_FAIL in argv[2].
FAILURES = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
import node

answers = []
for fail in json.loads(sys.argv[2]):
    os.environ["AMD_STUB_FAIL"] = fail
    probe, sampler = node.probe({}), node.sampler({}, list(range(8)))
    sampler.sample()
    time.sleep(0.03)
    answers.append([probe, sampler.sample()])
    sampler.close()
print(json.dumps(answers))
"""
# A query of the probe, and the fields of DeviceInfo that it alone has.
QUERIES = {
    "get_gpu_asic_info": {"uuid"},
    "get_gpu_board_info": set(),
    "get_gpu_driver_info": {"driver"},
    "get_gpu_vbios_info": {"firmware"},
    "get_gpu_device_bdf": {"pci"},
    "get_gpu_device_uuid": {"uuid"},
    "get_gpu_ecc_enabled": {"ecc"},
    "get_gpu_topo_numa_affinity": {"numa_node"},
    "get_pcie_info": {"pcie"},
    "get_gpu_process_list": {"pids"},
    "get_power_cap_info": {"power_limit_w", "default_power_limit_w"},
    "get_clock_info": {"max_clock_hz"},
    "get_gpu_perf_level": {"clocks_locked"},
    "get_gpu_xgmi_link_status": {"scale_up_links"},
    "get_xgmi_info": {"fabric"},
    "get_gpu_enumeration_info": set(),
    "get_gpu_compute_partition": set(),
    "get_gpu_memory_partition": set(),
    "get_gpu_total_ecc_count": set(),
}
# All sources of a field, and the fields that only they have.
READINGS = {
    ("get_gpu_metrics_info",): {"throttle"},
    ("get_gpu_metrics_info", "get_power_info"): {"power_w", "throttle"},
    ("get_gpu_metrics_info", "get_energy_count"): {"energy_j", "throttle"},
    ("get_gpu_metrics_info", "get_gpu_activity"): {"utilization", "throttle"},
    ("get_gpu_vram_usage", "get_gpu_memory_usage"): {"memory_used_bytes"},
    ("get_gpu_metrics_info", "get_temp_metric"): {
        *("temperature_c", "memory_temperature_c", "throttle"),
    },
    ("get_gpu_metrics_info", "get_clock_info"): {"clock_hz", "memory_clock_hz", "throttle"},
}
MI300X = {
    "index": 0,
    "name": "AMD Instinct MI300X",
    "uuid": "a0ff74a1-0000-1000-8000-000000000000",
    "pci": "0000:0c:00.0",
    "driver": "6.14.14",
    "firmware": "022.040.003.043.000001",
    "memory_bytes": 196592 << 20,
    "memory_used_bytes": 5 << 30,
    "power_limit_w": 750.0,
    "default_power_limit_w": 750.0,
    "max_clock_hz": 2.1e9,
    "clocks_locked": False,
    "ecc": True,
    "numa_node": 0,
    "pcie": {"generation": 5, "max_generation": 5, "width": 16, "max_width": 16},
    "scale_up_links": 7,
    "fabric": "xGMI hive 0xbeef",
    "pids": [],
}
READING = {
    "power_w": 750.0,
    "utilization": 0.77,
    "memory_used_bytes": 5 << 30,
    "temperature_c": 70.0,
    "memory_temperature_c": 60.0,
    "clock_hz": 2.1e9,
    "memory_clock_hz": 1.3e9,
}


def by_device(found: dict[str, Any], turn: int) -> dict[int, dict[str, Any]]:
    """The rows of a reading."""
    return {row["device"]: row for row in found["readings"][turn][2]}


def test_the_stub_has_the_layout_of_amdsmi(rocm, run) -> None:
    """All structs that it fills have the sizes that the installed amdsmi declares."""
    theirs, ours = run(json.dumps(STRUCTS), program=SIZES, ROCM_PATH=str(rocm))
    assert dict(zip(STRUCTS, ours, strict=True)) == dict(zip(STRUCTS, theirs, strict=True))


def test_devices(ask: Ask) -> None:
    """Eight GPUs with everything that amdsmi tells, in the units of DeviceInfo."""
    probe = ask()["probe"]
    devices = probe["devices"]
    assert [d["index"] for d in devices] == list(range(8))
    assert devices[0] == MI300X
    assert len({d["uuid"] for d in devices}) == 8
    assert "power_limit_w" not in devices[2]
    assert devices[3]["pcie"] == {
        "generation": 4, "max_generation": 5, "width": 8, "max_width": 16,
    }  # fmt: skip
    assert [d["numa_node"] for d in devices] == [0] * 4 + [1] * 4
    assert devices[5]["power_limit_w"] == 600
    assert devices[6]["faults"] == ["uncorrected ECC errors: 2"]
    assert devices[7]["faults"] == ["xGMI links that are down: 1"]
    assert devices[7]["scale_up_links"] == 6
    assert probe["facts"] == {"amdsmi": "7.0.2", "libamd_smi": "26.0.2"}


def test_readings(ask: Ask) -> None:
    """W, J, fractions, bytes, degrees, Hz, and processes; amdsmi's slow query is not used."""
    found = ask(pid=str(os.getpid()))
    for turn in range(3):
        rows = by_device(found, turn)
        assert list(rows) == list(range(8))
        for row in rows.values():
            assert {key: row[key] for key in READING} == READING
    # Each device has its turn to be asked for processes.
    assert by_device(found, 0)[0]["pids"] == [os.getpid()]
    assert by_device(found, 2)[2]["pids"] == [os.getpid()]
    assert found["stub_violation_queries"] == 0
    assert found["stub_shutdowns"] == 2  # one for the probe, one for the sampler that closed twice
    assert found["probe"]["devices"][0]["pids"] == [os.getpid()]


def test_energy_matches_power(ask: Ask) -> None:
    """The joules between two readings are 750 W times their interval."""
    found = ask()
    (start, began, _), (ended, end, _) = found["readings"][0], found["readings"][2]
    joules = by_device(found, 2)[0]["energy_j"] - by_device(found, 0)[0]["energy_j"]
    assert 750 * (ended - began) - 2 <= joules <= 750 * (end - start) + 2


def test_throttle_reasons(ask: Ask) -> None:
    """Reasons that were active for 1 % of the time since the sample before, or more."""
    found = ask()
    assert not any("throttle" in row for row in by_device(found, 0).values())
    assert {i: row["throttle"] for i, row in by_device(found, 1).items()} == {
        **{index: [] for index in range(8)},
        0: ["power cap"],
        3: ["hardware: prochot"],
        4: ["thermal: socket"],
    }
    assert "throttle" not in found["probe"]["notes"]


def test_unsupported_energy(ask: Ask) -> None:
    """It is left out on that GPU only; the note says why, in amdsmi's words."""
    found = ask()
    assert found["probe"]["notes"] == {
        "energy_j": "device 1: amdsmi: AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported"
    }
    for turn in range(3):
        assert [i for i, row in by_device(found, turn).items() if "energy_j" not in row] == [1]


@pytest.mark.parametrize("how", [{"fail": "get_gpu_metrics_info=2"}, {"blank": "1"}])
def test_without_gpu_metrics(ask: Ask, how: dict[str, str]) -> None:
    """Each field has a function of its own. The energy's unit is not rounded, as there."""
    found = ask(**how)
    row = by_device(found, 1)[0]
    energy_j = row.pop("energy_j") - by_device(found, 0)[0]["energy_j"]
    elapsed = found["readings"][1][0] - found["readings"][0][0]
    assert energy_j == pytest.approx(750 * elapsed, rel=0.05)
    assert row == {
        "device": 0,
        "power_w": 740.0,
        "utilization": 0.66,
        "memory_used_bytes": 5 << 30,
        "temperature_c": 71.0,
        "memory_temperature_c": 61.0,
        "clock_hz": 2.0e9,
        "memory_clock_hz": 1.25e9,
        "pids": [],
    }
    assert "throttle" in found["probe"]["notes"]


@pytest.mark.parametrize("status", STATUS.values(), ids=STATUS)
def test_each_query_of_the_probe_may_fail(rocm, run, status: int) -> None:
    """Its fields are left out, and nothing else of that GPU; other GPUs are not affected."""
    fails = json.dumps([f"{query}={status}@0" for query in QUERIES])
    answers = run(fails, program=FAILURES, ROCM_PATH=str(rocm))
    for (query, missing), (probe, _) in zip(QUERIES.items(), answers, strict=True):
        wanted = {key: value for key, value in MI300X.items() if key not in missing}
        if query == "get_gpu_asic_info":
            wanted["name"] = "AMD Instinct MI300X OAM"
        assert probe["devices"][0] == wanted, query
        assert [d["index"] for d in probe["devices"]] == list(range(8))
        assert probe["devices"][1].keys() >= MI300X.keys()


@pytest.mark.parametrize("status", [2, *STATUS.values()], ids=["NOT_SUPPORTED", *STATUS])
def test_each_reading_may_fail(rocm, run, status: int) -> None:
    """Its fields are left out, with a note; the row, its other fields and other GPUs stay."""
    fails = [",".join(f"{name}={status}@0" for name in names) for names in READINGS]
    answers = run(json.dumps(fails), program=FAILURES, ROCM_PATH=str(rocm))
    everything = {*READING, "energy_j", "throttle"}
    for (names, missing), (probe, rows) in zip(READINGS.items(), answers, strict=True):
        assert [row["device"] for row in rows] == list(range(8))
        assert everything - rows[0].keys() == missing, names
        assert "lost" not in rows[0]
        assert rows[3].keys() >= everything
        for field in missing:
            assert re.search("device 0[,:].* amdsmi: AMDSMI_STATUS_", probe["notes"][field])


@pytest.mark.parametrize("status", [2, *STATUS.values()], ids=["NOT_SUPPORTED", *STATUS])
def test_a_gpu_lost_while_sampling(ask: Ask, tmp_path: Path, status: int) -> None:
    """Its row says why, in amdsmi's words, until it answers again; others are not affected."""
    flag = tmp_path / "lost"
    found = ask(flag=flag, lost=f"3:{status}:{flag}")
    before, lost, after = (by_device(found, turn) for turn in range(3))
    assert before[3]["power_w"] == 750
    assert set(lost[3]) == {"device", "lost"}
    assert lost[3]["lost"].startswith("amdsmi: AMDSMI_STATUS_")
    assert after[3]["power_w"] == 750
    for rows in (before, lost, after):
        assert list(rows) == list(range(8))
        assert rows[4]["power_w"] == 750


def test_a_gpu_lost_before_the_probe(ask: Ask, tmp_path: Path) -> None:
    """It is no device; the facts say why. The sampler keeps its row."""
    flag = tmp_path / "lost"
    flag.touch()
    found = ask(lost=f"3:31:{flag}")
    assert [d["index"] for d in found["probe"]["devices"]] == [0, 1, 2, 4, 5, 6, 7]
    assert found["probe"]["facts"]["device 3"].startswith("excluded: amdsmi: AMDSMI_STATUS_NOT_F")
    assert "NOT_FOUND" in by_device(found, 0)[3]["lost"]


def test_a_gpu_that_is_not_listed(ask: Ask) -> None:
    """A sampler of eight where amdsmi now lists seven: the eighth has its row."""
    rows = by_device(ask(boards="7"), 0)
    assert list(rows) == list(range(8))
    assert rows[7] == {"device": 7, "lost": "amdsmi does not list this GPU any more"}


def test_partitions(ask: Ask) -> None:
    """Two GPUs in eight parts each: power and energy of a GPU are counted once."""
    found = ask(boards="2", partitions="8", devices=tuple(range(16)))
    probe = found["probe"]
    assert len(probe["devices"]) == 16
    assert {d["partition"] for d in probe["devices"]} == {"CPX/NPS4"}
    assert probe["devices"][9]["name"] == "AMD Instinct MI300X (CPX/NPS4, 1)"
    assert probe["devices"][9]["memory_bytes"] == 196592 // 4 << 20
    assert [d["index"] for d in probe["devices"] if "power_limit_w" in d] == [0, 8]
    others = "device 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15: the first partition of each"
    assert probe["notes"]["power_w"].startswith(others)
    rows = by_device(found, 1)
    for field in ("power_w", "throttle"):
        assert [i for i, row in rows.items() if field in row] == [0, 8]
    assert all("memory_used_bytes" in row and "lost" not in row for row in rows.values())


def test_a_share_of_the_partitions(ask: Ask) -> None:
    """The first one sampled of each GPU reports its power."""
    rows = by_device(ask(boards="2", partitions="8", devices=(3, 5, 12)), 0)
    assert [i for i, row in rows.items() if "power_w" in row] == [3, 12]


def test_hip_counts_otherwise(ask: Ask) -> None:
    """Where HIP's number differs from amdsmi's, it is the handle."""
    devices = ask(hip="4", devices=())["probe"]["devices"]
    assert [d["handle"] for d in devices[:3]] == ["4", "5", "6"]


@pytest.mark.parametrize("level", [3, 8], ids=["manual", "determinism"])
def test_clocks_that_someone_fixed(ask: Ask, level: int) -> None:
    """A performance level other than auto."""
    assert ask(perf=str(level), devices=())["probe"]["devices"][0]["clocks_locked"] is True


def test_processes_of_another_namespace(ask: Ask) -> None:
    """A pid that is not in /proc here: none are known."""
    found = ask(pid="4194305")
    assert "pids" not in found["probe"]["devices"][0]
    assert "pids" not in by_device(found, 0)[0]


@pytest.mark.parametrize(
    ("status", "reason", "hint"),
    [
        (10, "may not access", "groups render and video"),
        (32, "amdgpu is not ready", "modprobe amdgpu"),
        (34, "amdgpu is not loaded", "modprobe amdgpu"),
        (51, "amdgpu is not loaded", "modprobe amdgpu"),
        (4, "not complete", "amd-smi-lib"),
        (30, "does not start", "amd-smi list"),
        (777, "does not start", "amd-smi list"),  # a status that amdsmi does not know
    ],
)
def test_a_library_that_does_not_start(ask: Ask, status: int, reason: str, hint: str) -> None:
    """A reason with amdsmi's words and a hint; no sampler."""
    found = ask(init=str(status))
    assert found["probe"]["devices"] == []
    assert reason in found["probe"]["reason"] and "AMDSMI_STATUS_" in found["probe"]["reason"]
    assert hint in found["probe"]["hint"]
    assert found["readings"] == []


def test_a_driver_without_gpus(ask: Ask) -> None:
    """A reason and a hint."""
    probe = ask(boards="0", devices=())["probe"]
    assert probe["reason"] == "the driver amdgpu has no working GPU (it has none)"
    assert probe["hint"] == "check the GPUs with amd-smi list"


def test_gpus_that_cannot_be_listed(ask: Ask) -> None:
    """A reason; the sampler has a row for each GPU."""
    found = ask(fail="get_socket_handles=7")
    assert "does not list the GPUs" in found["probe"]["reason"]
    assert all("lost" in row for row in by_device(found, 0).values())
