"""Errors of NVML, injected one by one: into each function, from the start and while sampling."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Each board gets one error: its code and pynvml's message.
ERRORS = {
    0: (1, "Uninitialized"),
    1: (9, "Driver Not Loaded"),
    2: (15, "GPU is lost"),
    3: (4, "Insufficient Permissions"),
    4: (3, "Not Supported"),
    5: (16, "GPU requires restart"),
    6: (10, "Timeout"),
    7: (999, "Unknown Error"),
}
LOST = {2: "GPU is lost", 5: "GPU requires restart"}
OTHERS = {board: text for board, (_, text) in ERRORS.items() if board not in LOST}

# Functions (all that start with the name): the fields of DeviceInfo and of Sample that need them.
INFO: dict[str, set[str]] = {
    "nvmlDeviceGetName": {"name"},
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetVbiosVersion": {"firmware"},
    "nvmlDeviceGetPciInfo": {"pci"},
    "nvmlDeviceGetMemoryInfo": {"memory_bytes", "memory_used_bytes"},
    "nvmlDeviceGetPowerManagementDefaultLimit": {"default_power_limit_w"},
    "nvmlDeviceGetMaxClockInfo": {"max_clock_hz"},
    "nvmlDeviceGetEccMode": {"ecc"},
    "nvmlDeviceGetPersistenceMode": {"persistence"},
    "nvmlDeviceGetNvLinkState": {"scale_up_links"},
    "nvmlDeviceGetGpuFabricInfo": {"fabric"},
    "nvmlDeviceGetComputeRunningProcesses": {"pids"},
}
SAMPLE: dict[str, set[str]] = {
    "nvmlDeviceGetPowerUsage": {"power_w"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_j"},
    "nvmlDeviceGetUtilizationRates": {"utilization"},
    "nvmlDeviceGetMemoryInfo": {"memory_used_bytes"},
    "nvmlDeviceGetTemperature": {"temperature_c"},
    "nvmlDeviceGetFieldValues": {"memory_temperature_c"},
    "field82": {"memory_temperature_c"},
    "nvmlDeviceGetClockInfo": {"clock_hz", "memory_clock_hz"},
    "nvmlDeviceGetCurrentClocks": {"throttle"},
    "nvmlDeviceGetComputeRunningProcesses": {"pids"},
}
HEALTH = (
    "nvmlDeviceGetTotalEccErrors",
    "nvmlDeviceGetRetiredPagesPendingStatus",
    "nvmlDeviceGetRemappedRows",
    "field230",
)
ALL = list(range(8))


def failing(function: str, when: str = "") -> str:
    """The stub's setting: this function fails for each board with the board's error."""
    return ",".join(f"{function}:{board}:{code}{when}" for board, (code, _) in ERRORS.items())


def without(fields: dict[str, Any], missing: set[str]) -> dict[str, Any]:
    """The values that do not change from run to run, without these."""
    return {k: v for k, v in fields.items() if k not in {*missing, "handle", "energy_j"}}


@pytest.fixture(scope="module")
def sound() -> dict[str, Any]:
    """Results without errors, filled by the first test that needs them."""
    return {}


def baseline(ask: Any, sound: dict[str, Any]) -> dict[str, Any]:
    if not sound:
        sound.update(ask())
    return sound


@pytest.mark.parametrize("function", INFO)
def test_what_a_probe_asks(ask, sound, function: str) -> None:
    """Only that field of that board is unknown, with NVML's words; a lost board is no device."""
    found = ask(NVML_STUB_FAIL=failing(function))["probe"]
    before = {d["index"]: d for d in baseline(ask, sound)["probe"]["devices"]}
    missing = INFO[function]
    assert [d["index"] for d in found["devices"]] == list(OTHERS)
    for board, text in LOST.items():
        assert found["facts"][f"device {board}"] == f"excluded: {text}"
    for device in found["devices"]:
        if "name" in missing:
            assert device["name"] == "unknown NVIDIA GPU"
        assert not missing - {"name"} & set(device)
        assert without(device, missing) == without(before[device["index"]], missing)
    for field in missing:
        assert f"{field} (" in found["facts"]["not read"]
    for board, text in OTHERS.items():
        assert f"device {board}: NVML: {text}" in found["facts"]["not read"]


@pytest.mark.parametrize("function", HEALTH)
def test_what_tells_faults(ask, sound, function: str) -> None:
    """That a board does not have it is normal (code 3); other errors are told."""
    found = ask(NVML_STUB_FAIL=failing(function))["probe"]
    before = {d["index"]: d for d in baseline(ask, sound)["probe"]["devices"]}
    for device in found["devices"]:
        assert without(device, set()) == without(before[device["index"]], set())
    unread = found["facts"]["not read"]
    for board, text in OTHERS.items():
        assert (f"device {board}: NVML: {text}" in unread) == (board != 4)


@pytest.mark.parametrize("function", SAMPLE)
def test_readings_from_the_start(ask, sound, function: str) -> None:
    """A None with its reason in the probe's notes; other fields and boards are intact."""
    found = ask(devices=ALL, NVML_STUB_FAIL=failing(function))
    for turn, (_, _, rows) in enumerate(found["readings"]):
        check_rows(rows, baseline(ask, sound)["readings"][turn][2], SAMPLE[function])
    for field in SAMPLE[function]:
        for board, text in OTHERS.items():
            assert f"device {board}: NVML: {text}" in found["probe"]["notes"][field]


@pytest.mark.parametrize("function", SAMPLE)
def test_readings_in_the_middle(ask, sound, tmp_path, function: str) -> None:
    """An error that begins between two readings: the same, and the first is complete."""
    flag = tmp_path / "flag"
    pause_s = 1.1 if "Processes" in function else 0.0  # processes are read once a second
    fail = failing(function, f":{flag}")
    found = ask(devices=ALL, flag=flag, pause_s=pause_s, NVML_STUB_FAIL=fail)
    (_, _, first), (_, _, second) = found["readings"]
    before = baseline(ask, sound)["readings"][0][2]
    assert [without(row, set()) for row in first] == [without(row, set()) for row in before]
    check_rows(second, before, SAMPLE[function])


def check_rows(rows: list[Any], before: list[Any], missing: set[str]) -> None:
    assert [row["device"] for row in rows] == ALL
    for row, intact in zip(rows, before, strict=True):
        if row["device"] in LOST:
            assert row == {"device": row["device"], "lost": LOST[row["device"]]}
        else:
            assert not missing & set(row)
            assert without(row, missing) == without(intact, missing)


def test_nothing_answers_any_more(ask, tmp_path) -> None:
    """As when the driver is unloaded: each row stays, with NVML's words."""
    flag = tmp_path / "flag"
    found = ask(devices=ALL, flag=flag, NVML_STUB_FAIL=failing("nvmlDevice", f":{flag}"))
    (_, _, first), (_, _, second) = found["readings"]
    assert all("power_w" in row for row in first)
    assert second == [{"device": board, "lost": text} for board, (_, text) in ERRORS.items()]


def test_a_board_without_a_handle(ask) -> None:
    """It is no device, with the reason; its rows say it, too."""
    found = ask(devices=ALL, NVML_STUB_FAIL="nvmlDeviceGetHandleByIndex:3:15")
    assert [d["index"] for d in found["probe"]["devices"]] == [0, 1, 2, 4, 5, 6, 7]
    assert found["probe"]["devices"][3]["handle"] == "GPU-stub-4"  # CUDA does not count lost GPUs
    assert found["probe"]["facts"]["device 3"] == "excluded: GPU is lost"
    _, _, rows = found["readings"][1]
    assert rows[3] == {"device": 3, "lost": "GPU is lost"}
    assert rows[4]["power_w"] == 700


def test_a_board_that_comes_later(ask, tmp_path) -> None:
    """An error that passes: the sampler looks again after a second."""
    flag = tmp_path / "flag"
    fail = f"nvmlDeviceGetHandleByIndex:3:10:!{flag}"
    found = ask(devices=ALL, flag=flag, pause_s=1.1, NVML_STUB_FAIL=fail)
    (_, _, first), (_, _, second) = found["readings"]
    assert first[3] == {"device": 3, "lost": "Timeout"}
    assert second[3]["power_w"] == 700


def test_an_error_that_passes(ask, tmp_path) -> None:
    """A field that failed once is read again."""
    flag = tmp_path / "flag"
    found = ask(flag=flag, NVML_STUB_FAIL=f"nvmlDeviceGetPowerUsage:*:10:!{flag}")
    (_, _, first), (_, _, second) = found["readings"]
    assert {row.get("power_w") for row in first} == {None}
    assert {row["power_w"] for row in second} == {700}


def test_an_unsupported_field_is_not_asked_again(ask) -> None:
    """Once in the probe, once in the sampler's two readings."""
    assert ask(NVML_STUB_FAIL="nvmlDeviceGetTotalEnergy:1:3")["energy_calls"] == 2


def test_one_of_two_limits(ask) -> None:
    """If only one of the set and the enforced limit is known, that one counts."""
    fail = "nvmlDeviceGetPowerManagementLimit:2:4,nvmlDeviceGetEnforcedPowerLimit:3:999"
    boards = ask(NVML_STUB_FAIL=fail)["probe"]["devices"]
    assert [board["power_limit_w"] for board in boards[2:4]] == [700, 700]
    both = "nvmlDeviceGetPowerManagementLimit:2:4,nvmlDeviceGetEnforcedPowerLimit:2:999"
    assert "power_limit_w" not in ask(NVML_STUB_FAIL=both)["probe"]["devices"][2]


def test_all_boards_lost(ask) -> None:
    """No device, a reason and a hint."""
    found = ask(devices=[0], NVML_STUB_FAIL="nvmlDeviceGet:*:15", NVML_STUB_BOARDS="1")["probe"]
    assert found["devices"] == []
    assert "GPU is lost" in found["reason"]
    assert found["hint"]
    fail = "nvmlDeviceGetPowerUsage:*:15"
    found = ask(devices=[0], NVML_STUB_FAIL=fail, NVML_STUB_BOARDS="1")["probe"]
    assert found["reason"] == "the NVIDIA driver has no working GPU (device 0 GPU is lost)"


@pytest.mark.parametrize(("code", "message"), ERRORS.values())
def test_a_driver_that_does_not_count(ask, code: int, message: str) -> None:
    """A reason and a hint; a sampler keeps the rows."""
    found = ask(devices=[0, 1], NVML_STUB_FAIL=f"nvmlDeviceGetCount:*:{code}")
    assert found["probe"]["devices"] == []
    assert message in found["probe"]["reason"]
    assert "nvidia-smi" in found["probe"]["hint"]
    assert found["readings"][1][2] == [{"device": i, "lost": message} for i in (0, 1)]


def test_facts_of_the_driver(ask) -> None:
    """Unknown versions are left out."""
    fail = "nvmlSystemGetDriverVersion:*:999,nvmlSystemGetCudaDriverVersion:*:999"
    found = ask(NVML_STUB_FAIL=fail)["probe"]
    assert len(found["devices"]) == 8
    assert found["facts"] == {}
    assert "driver" not in found["devices"][0]


def test_errors_of_instances(ask) -> None:
    """An instance's name and partition have a fallback; its board's errors are its own."""
    fail = "nvmlDeviceGetName:5:999,nvmlDeviceGetGpuInstanceId:5:3"
    boards = ask(NVML_STUB_MIG="5", NVML_STUB_FAIL=fail)["probe"]["devices"]
    assert boards[5]["name"] == "unknown NVIDIA GPU MIG 1g.18gb"
    fail = "nvmlDeviceGetAttributes:5:999,nvmlDeviceGetName:5:10"
    boards = ask(NVML_STUB_MIG="5", NVML_STUB_FAIL=fail)["probe"]["devices"]
    assert boards[5]["name"] == "unknown NVIDIA GPU MIG"
    found = ask(NVML_STUB_MIG="5", NVML_STUB_FAIL="nvmlDeviceGetTemperature:5:15")["probe"]
    assert [d["index"] for d in found["devices"]] == [0, 1, 2, 3, 4, 6, 7]
    assert found["facts"]["device 5"] == "excluded: GPU is lost"


@pytest.mark.parametrize("function", ["MaxMigDeviceCount", "MigDeviceHandleByIndex"])
def test_instances_that_are_not_listed(ask, function: str) -> None:
    """The board is no device, with the reason."""
    found = ask(NVML_STUB_MIG="5", NVML_STUB_FAIL=f"nvmlDeviceGet{function}:5:999")["probe"]
    assert len(found["devices"]) == 7
    assert "device 5" in found["facts"]


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (1, "does not answer", "nvidia-smi"),
        (3, "does not answer", "nvidia-smi"),
        (4, "may not access", "/dev/nvidia"),
        (9, "driver is not loaded", "modprobe nvidia"),
        (10, "does not answer (NVML: Timeout)", "nvidia-smi"),
        (15, "lost a GPU", "reset"),
        (16, "needs a reset", "--gpu-reset"),
        (18, "differ in version", "reload"),
        (999, "does not answer", "nvidia-smi"),
        (77, "message of the stub", "nvidia-smi"),  # a code that nvidia-ml-py does not know
    ],
)
def test_a_driver_that_fails_to_initialize(ask, code: int, message: str, remedy: str) -> None:
    """A reason and a remedy, no exception, no sampler."""
    found = ask(NVML_STUB_RC=str(code))
    assert found["probe"]["devices"] == []
    assert message in found["probe"]["reason"]
    assert remedy in found["probe"]["hint"]
    assert not found["sampler"]


def test_a_driver_without_boards(ask) -> None:
    """A reason and a hint."""
    found = ask(NVML_STUB_BOARDS="0")["probe"]
    assert found["devices"] == []
    assert found["reason"] == "the NVIDIA driver has no working GPU (it has no GPU)"
    assert "nvidia-smi" in found["hint"]


def test_a_library_that_is_not_nvml(ask, driver: Path, tmp_path: Path) -> None:
    """A library without NVML's functions: a reason, no exception."""
    empty = tmp_path / "empty.c"
    empty.write_text("int nothing;\n")
    library = tmp_path / "libnvidia-ml.so.1"
    compiler = shutil.which("cc") or shutil.which("gcc") or ""
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, empty], check=True)
    assert "Function Not Found" in ask(library=tmp_path)["probe"]["reason"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU here")
def test_no_library(ask, tmp_path) -> None:
    """A reason, a remedy and no sampler."""
    found = ask(library=tmp_path, devices=[0])
    assert found["probe"]["reason"].startswith("no NVIDIA driver here (NVML: ")
    assert "install the NVIDIA driver" in found["probe"]["hint"]
    assert not found["sampler"]


@pytest.mark.parametrize(
    ("binding", "message"),
    [(None, "is not installed"), ("1 / 0\n", "cannot be imported (ZeroDivisionError")],
)
def test_without_nvidia_ml_py(ask, program, tmp_path, binding, message: str) -> None:
    """A reason, and the hint names the extra that has it."""
    folder = tmp_path / "program"
    shutil.copytree(program, folder)
    (folder / "pynvml.py").unlink()
    if binding is not None:
        (folder / "pynvml.py").write_text(binding)
    found = ask(folder=folder, devices=[0])
    assert message in found["probe"]["reason"]
    assert "tokenbench-hardware-nvidia[nvml]" in found["probe"]["hint"]
    assert not found["sampler"]
