"""NVIDIA hardware: the real nvidia-ml-py on a compiled stand-in for the driver's library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_hardware_nvidia.catalogue import CATALOGUE, by_driver_name
from tokenbench_hardware_nvidia.gpus import NvidiaGpus, reasons

PROGRAM = """
import json, attrs
from tokenbench_hardware_nvidia.gpus import NvidiaGpus
gpus = NvidiaGpus()
probe = gpus.probe()
devices = [attrs.asdict(d) for d in probe.devices]
found = {"reason": probe.reason, "hint": probe.hint, "devices": devices}
sampler = gpus.sampler([0, 1]) if probe.devices else None
if sampler:
    found["samples"] = [[attrs.asdict(s) for s in sampler.sample()] for _ in range(2)]
    sampler.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """The stand-in, compiled."""
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml_stub.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return folder


def _ask(driver: Path, **more: str) -> dict:  # type: ignore[type-arg]
    env = {**os.environ, "LD_LIBRARY_PATH": str(driver), **more}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_boards_and_readings(driver: Path) -> None:
    """Units as ours, names of the catalogue, None for what a board does not tell."""
    found = _ask(driver)
    assert [d["sku"] for d in found["devices"]] == ["h200", "h200"]
    assert found["devices"][0]["power_limit_w"] == 600
    assert found["devices"][0]["default_power_limit_w"] == 700
    before, after = found["samples"]
    assert [s["power_w"] for s in before] == [600, 700]
    assert after[0]["energy_j"] >= before[0]["energy_j"] > 0
    assert before[1]["energy_j"] is None
    assert before[0]["temperature_c"] is None  # the function is missing in this driver
    assert before[0]["clock_hz"] == 1.98e9
    assert before[0]["utilization"] == 0.77
    assert before[0]["throttle"] == ["power cap", "hw thermal slowdown"]


def test_a_driver_that_is_not_loaded(driver: Path) -> None:
    """A reason and a hint, no exception."""
    found = _ask(driver, NVML_STUB_RC="9")
    assert found["devices"] == []
    assert "driver" in found["reason"].lower()
    assert found["hint"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU here")
def test_a_machine_without_a_gpu() -> None:
    """Says why, and offers no sampler."""
    probe = NvidiaGpus().probe()
    assert probe.devices == ()
    assert probe.reason and probe.hint
    assert NvidiaGpus().sampler([0]) is None


def test_the_catalogue() -> None:
    """Names are unique, figures have source and date, driver names lead back."""
    assert len({sku.name for sku in CATALOGUE}) == len(CATALOGUE)
    for sku in CATALOGUE:
        assert sku.source and sku.date
        assert all(by_driver_name(alias) == sku.name for alias in sku.aliases)
    assert by_driver_name("NVIDIA H200") == "h200"
    assert by_driver_name("some other card") is None


def test_reasons_of_slowdown() -> None:
    """Bits to words."""
    assert reasons(0) == ()
    assert reasons(0x8 | 0x80) == ("hw slowdown", "hw power brake")
