"""NVIDIA hardware: the real nvidia-ml-py with a compiled stub of the driver's library."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_nvidia.gpus import NvidiaGpus

# Two readings 0.1 s apart. Between them the file argv[1] is created, which makes a board lost.
PROGRAM = """
import ctypes, json, pathlib, sys, time
import attrs
from tokenbench_hardware_nvidia.gpus import NvidiaGpus

gpus = NvidiaGpus()
probe = gpus.probe()
found = {
    "reason": probe.reason, "hint": probe.hint, "notes": dict(probe.notes),
    "facts": dict(probe.facts), "devices": [attrs.asdict(d) for d in probe.devices],
}
import pynvml
if probe.devices:
    sampler = gpus.sampler(range(8))
    found["readings"] = []
    for turn in range(2):
        before = time.monotonic()
        samples = [attrs.asdict(s) for s in sampler.sample()]
        found["readings"].append([before, time.monotonic(), samples])
        time.sleep(0.1)
        if len(sys.argv) > 1:
            pathlib.Path(sys.argv[1]).touch()
    found["refused"] = {b.index: b.refused for b in sampler.boards if b.refused}
    found["refusals"] = ctypes.c_int.in_dll(pynvml.nvmlLib, "stub_energy_refusals").value
    sampler.close()
    sampler.close()
    found["shutdowns"] = ctypes.c_int.in_dll(pynvml.nvmlLib, "stub_shutdowns").value
print(json.dumps(found))
"""
FRESH = """
import sys
touched = []
def watch(event, args):
    if event == "ctypes.dlopen" or (event == "open" and str(args[0]).startswith("/dev/nvidia")):
        touched.append(args[0])
sys.addaudithook(watch)
from tokenbench_hardware_nvidia import plugin
(spec,) = plugin.bench_register_hardware()
assert spec.name == "nvidia" and spec.accelerated
assert "tokenbench_hardware_nvidia.gpus" not in sys.modules
hardware = spec.factory(spec.options())
assert hardware.catalogue()
assert "pynvml" not in sys.modules and "ctypes" not in sys.modules and not touched
"""
WITHOUT_BINDING = """
import sys
sys.modules["pynvml"] = None  # importing it raises ImportError, as if it were not installed
from tokenbench_hardware_nvidia.gpus import NvidiaGpus
probe = NvidiaGpus().probe()
assert probe.devices == () and NvidiaGpus().sampler([0]) is None
print(probe.reason, "|", probe.hint)
"""


def _compile(folder: Path, *flags: str) -> Path:
    if importlib.util.find_spec("pynvml") is None:
        pytest.skip("nvidia-ml-py is not installed")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    source = Path(__file__).with_name("nvml_stub.c")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, *flags, "-Wall", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The folder with the compiled stub."""
    return _compile(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def old_driver(tmp_path_factory) -> Path:
    """The stub without newer functions."""
    return _compile(tmp_path_factory.mktemp("oldnvml"), "-DOLD_DRIVER")


def _python(program: str, *args: str, **more: str) -> str:
    command = [sys.executable, "-c", program, *args]
    env = {**os.environ, **more}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ask(driver: Path, *args: str, **more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_python(PROGRAM, *args, LD_LIBRARY_PATH=str(driver), **more))
    return found


def test_boards(driver: Path) -> None:
    """Eight boards with the catalogue's name, limits in W, sizes in bytes, driver, CUDA version."""
    found = _ask(driver)
    assert found["reason"] is None
    assert [d["index"] for d in found["devices"]] == list(range(8))
    assert {(d["name"], d["sku"]) for d in found["devices"]} == {("NVIDIA H200", "h200")}
    assert len({d["uuid"] for d in found["devices"]}) == 8
    assert {d["memory_bytes"] for d in found["devices"]} == {143771 << 20}
    assert [d["power_limit_w"] for d in found["devices"][:3]] == [700, 700, 600]
    assert {d["default_power_limit_w"] for d in found["devices"]} == {700}
    assert {d["driver"] for d in found["devices"]} == {"580.95.05"}
    assert found["facts"] == {"driver": "580.95.05", "cuda": "13.2"}
    assert found["shutdowns"] == 2  # one for the probe, one for the sampler that closed twice


def test_readings(driver: Path) -> None:
    """Units of Sample: W, fraction, bytes, degrees, Hz, and slowdown reasons by name."""
    _, _, first = _ask(driver)["readings"][0]
    assert [s["device"] for s in first] == list(range(8))
    sample = first[0]
    energy_j = sample.pop("energy_j")
    assert energy_j > 0
    assert sample == {
        "device": 0,
        "power_w": 700.0,
        "utilization": 0.77,
        "memory_used_bytes": 5 << 30,
        "temperature_c": 61.0,
        "clock_hz": 1.98e9,
        "throttle": ["power cap", "hw thermal slowdown"],
    }
    assert first[2]["throttle"] == ["power cap"]


def test_energy_matches_power(driver: Path) -> None:
    """The joules between two readings are 700 W times their interval."""
    (start, began, first), (ended, end, second) = _ask(driver)["readings"]
    joules = second[0]["energy_j"] - first[0]["energy_j"]
    assert 700 * (ended - began) - 0.01 <= joules <= 700 * (end - start) + 0.01


def test_unsupported_fields_are_none_and_not_read_again(driver: Path) -> None:
    """Only for that board and field; the probe's note has board and NVML's message."""
    found = _ask(driver)
    for _, _, samples in found["readings"]:
        assert samples[1]["energy_j"] is None
        assert samples[1]["power_w"] == 700
        assert samples[2]["energy_j"] is not None
    assert found["refused"] == {"1": {"energy_j": "Not Supported"}}
    assert found["refusals"] == 2  # once in the probe, once in the sampler's two readings
    assert found["notes"] == {"energy_j": "device 1: NVML: Not Supported"}


def test_an_old_driver(old_driver: Path) -> None:
    """A missing function affects only its field; slowdown reasons have a fallback."""
    found = _ask(old_driver)
    _, _, samples = found["readings"][0]
    assert {s["temperature_c"] for s in samples} == {None}
    assert samples[0]["throttle"] == ["power cap", "hw thermal slowdown"]
    assert samples[0]["power_w"] == 700
    assert found["notes"]["temperature_c"] == "NVML: Function Not Found"
    assert "throttle" not in found["notes"]


def test_a_board_lost_while_sampling(driver: Path, tmp_path: Path) -> None:
    """Its later readings have no values; other boards are not affected."""
    flag = tmp_path / "lost"
    found = _ask(driver, str(flag), NVML_STUB_LOST=f"3:{flag}")
    (_, _, before), (_, _, after) = found["readings"]
    assert before[3]["power_w"] == 700
    lost = after[3]
    assert (lost.pop("device"), lost.pop("throttle")) == (3, None)
    assert set(lost.values()) == {None}
    assert after[4]["power_w"] == 700
    assert set(found["refused"]["3"].values()) == {"GPU is lost"}


def test_a_board_lost_before_the_probe(driver: Path, tmp_path: Path) -> None:
    """It is not a device, with the reason in the facts; its readings have no values."""
    flag = tmp_path / "lost"
    flag.touch()
    found = _ask(driver, NVML_STUB_LOST=f"3:{flag}")
    assert [d["index"] for d in found["devices"]] == [0, 1, 2, 4, 5, 6, 7]
    assert found["facts"]["device 3"] == "excluded: GPU is lost"
    _, _, samples = found["readings"][0]
    assert samples[3]["device"] == 3
    assert samples[3]["power_w"] is None


def test_all_boards_lost(driver: Path, tmp_path: Path) -> None:
    """No device, a reason and a hint."""
    flag = tmp_path / "lost"
    flag.touch()
    found = _ask(driver, NVML_STUB_LOST=f"0:{flag}", NVML_STUB_BOARDS="1")
    assert found["devices"] == []
    assert "GPU is lost" in found["reason"]
    assert found["hint"]


def test_a_board_in_mig_mode(driver: Path) -> None:
    """It has no SKU; utilization, which NVML does not support in MIG mode, has a note."""
    found = _ask(driver, NVML_STUB_MIG="5")
    board = found["devices"][5]
    assert (board["name"], board["sku"]) == ("NVIDIA H200 (MIG mode)", None)
    assert "whole board" in found["facts"]["device 5"]
    assert found["notes"]["utilization"] == "device 5: NVML: Not Supported"
    _, _, samples = found["readings"][0]
    assert samples[5]["utilization"] is None
    assert samples[5]["power_w"] == 700


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("9", "driver is not loaded", "modprobe nvidia"),
        ("4", "may not access", "/dev/nvidia"),
        ("18", "differ in version", "reload"),
        ("999", "does not answer", "nvidia-smi"),
        ("77", "message of the stub", "nvidia-smi"),  # a code that nvidia-ml-py does not know
    ],
)
def test_a_driver_that_fails_to_initialize(
    driver: Path, code: str, message: str, remedy: str
) -> None:
    """A reason and a remedy, no exception."""
    found = _ask(driver, NVML_STUB_RC=code)
    assert found["devices"] == []
    assert message in found["reason"]
    assert remedy in found["hint"]


def test_a_driver_without_boards(driver: Path) -> None:
    """A reason and a hint."""
    found = _ask(driver, NVML_STUB_BOARDS="0")
    assert found["devices"] == []
    assert found["reason"] == "the NVIDIA driver has no working GPU (it has no GPU)"
    assert "nvidia-smi" in found["hint"]


def test_a_library_that_is_not_nvml(driver: Path, tmp_path: Path) -> None:
    """A library without NVML's functions: a reason, no exception."""
    empty = tmp_path / "empty.c"
    empty.write_text("int nothing;\n")
    library = tmp_path / "libnvidia-ml.so.1"
    compiler = shutil.which("cc") or shutil.which("gcc") or ""
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, empty], check=True)
    found = _ask(tmp_path)
    assert "Function Not Found" in found["reason"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU here")
def test_this_machine_without_a_gpu() -> None:
    """A reason, a remedy and no sampler."""
    probe = NvidiaGpus().probe()
    assert probe.devices == ()
    assert probe.reason and probe.hint
    assert NvidiaGpus().sampler([0]) is None


def test_without_nvidia_ml_py() -> None:
    """The plugin works without its extra, and its hint names the extra."""
    reason, hint = _python(WITHOUT_BINDING).split(" | ")
    assert "nvidia-ml-py" in reason
    assert "tokenbench-hardware-nvidia[nvml]" in hint


def test_only_the_probe_loads_the_driver() -> None:
    """Import, registration and catalogue load neither nvidia-ml-py nor a native library."""
    _python(FRESH)  # asserts inside
