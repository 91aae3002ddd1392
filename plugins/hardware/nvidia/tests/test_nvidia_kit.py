"""The hardware `nvidia` passes the conformance kit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tokenbench_testing import HardwareKit


class TestNvidia(HardwareKit):
    """All checks, with the GPUs of this machine."""

    name = "nvidia"


@pytest.mark.parametrize(
    "setting", [{}, {"NVML_STUB_MIG": "5"}, {"NVML_STUB_FAIL": "nvmlDeviceGetPowerUsage:3:15"}]
)
def test_the_kit_with_devices(driver, setting: dict[str, str]) -> None:
    """The checks of devices run without a GPU, too: core's agent, with the stub of the driver."""
    command = [sys.executable, "-m", "pytest", __file__, "-k", "TestNvidia", "-q", "-p", "no:xdist"]
    env = {**os.environ, **setting, "LD_LIBRARY_PATH": str(driver)}
    env.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    # The only one: what a machine without devices must say.
    assert " 1 skipped" in done.stdout
