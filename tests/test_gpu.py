"""On a machine with an NVIDIA GPU: `bench doctor`, and a run with real telemetry.

Elsewhere these tests are skipped. They need nvidia-smi and nvidia-ml-py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests_bench import Bench, measured

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(
        not Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is None,
        reason="no NVIDIA GPU here: telemetry of a real device is not tested",
    ),
]


def _smi(*fields: str) -> list[str]:
    """The first GPU, as nvidia-smi reads it."""
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(fields)}"]
    command.append("--format=csv,noheader,nounits")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [part.strip() for part in text.strip().split(",")]


def test_doctor_agrees_with_nvidia_smi(bench: Bench) -> None:
    """Name, driver, uuid, limit, memory and PCIe lanes."""
    found = json.loads(bench("doctor", "--json").out)
    (nvidia,) = [one for one in found["hardware"] if one["plugin"] == "nvidia"]
    device: dict[str, Any] = nvidia["probe"]["devices"][0]
    name, driver, uuid, limit, memory, width = _smi(
        "name", "driver_version", "uuid", "power.limit", "memory.total", "pcie.link.width.max"
    )
    assert (device["name"], device["driver"], device["uuid"]) == (name, driver, uuid)
    assert device["power_limit_w"] == pytest.approx(float(limit), abs=1)
    assert device["memory_bytes"] == pytest.approx(float(memory) * (1 << 20), rel=0.02)
    assert device["pcie"]["max_width"] == int(width)


def test_energy_by_counter_and_by_integration(bench: Bench) -> None:
    """They agree within 3 %, and the mean power is what nvidia-smi reads during the run."""
    script = ("--engine", "scripted", "--hardware", "nvidia", "--duration", "20", "--repeats", "1")
    load = ("--workload", "random:input_tokens=32,output_tokens=16", "--concurrency", "1")
    process = bench.start("run", *script, *load, "--lengths", "approximate", "--allow-invalid")
    read = []
    while process.poll() is None:
        read.append(float(_smi("power.draw")[0]))
    _, err = process.communicate()
    assert process.returncode == 0, err
    (result,) = measured(bench)
    metrics = {name: one["mean"] for name, one in result["metrics"].items()}
    assert metrics["energy_counter_ratio.accelerator"] == pytest.approx(1.0, abs=0.03)
    assert metrics["power_w.accelerator"] == pytest.approx(sum(read) / len(read), rel=0.1)
    assert "driver " in result["devices"] and "uuid GPU-" in result["devices"]
    (check,) = [one for one in result["checks"] if one["name"] == "telemetry"]
    assert check["outcome"] == "ok", check
