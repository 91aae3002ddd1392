"""The AMD plugin: catalogue names, settings, and what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_hardware_amd.hardware import AmdGpus

FRESH = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args) if event == "ctypes.dlopen" else None)
from tokenbench_hardware_amd import plugin
(spec,) = plugin.bench_register_hardware()
assert spec.name == "amd" and spec.domain == "accelerator" and spec.unproven
from tokenbench.api import PluginContext
hardware = spec.factory(spec.options(), PluginContext())
assert hardware.catalogue() and hardware.settings(None)
assert hardware.program().module == "tokenbench_hardware_amd.node"
assert hardware.program().bindings == ()  # the host brings its own
assert "tokenbench_hardware_amd.node" not in sys.modules
assert "amdsmi" not in sys.modules and not opened
"""


@pytest.mark.parametrize(
    ("name", "sku"),
    [
        ("AMD Instinct MI300X", "mi300x"),
        ("AMD Instinct MI300X OAM", "mi300x"),
        ("MI300X-O", "mi300x"),
        ("AMD Instinct MI325X OAM", "mi325x"),
        ("AMD Instinct MI355X", "mi355x"),
        ("AMD Instinct MI355X OAM", "mi355x"),
        ("AMD Instinct MI455X", "mi455x"),
        ("AMD Instinct MI300A", None),
        ("AMD Instinct MI300X VF", None),
        ("AMD Instinct MI300X (CPX/NPS4, 1)", None),
    ],
)
def test_driver_names(name: str, sku: str | None) -> None:
    """A GPU by the name that amdsmi reports; a part of one, or a similar one, does not match."""
    found = [entry.name for entry in AmdGpus().catalogue() if name.lower() in entry.aliases]
    assert found == ([] if sku is None else [sku])


def test_settings() -> None:
    """Each has a reason; the variables, nodes and groups of a chip, and of one not known."""
    known, unknown = AmdGpus().settings("mi300x"), AmdGpus().settings(None)
    assert all(setting.reason for setting in known)
    visible = {"HIP_VISIBLE_DEVICES": "{devices}", "CUDA_VISIBLE_DEVICES": "{devices}"}
    assert {k: v for s in unknown for k, v in s.environment.items()} == visible
    assert {k: v for s in known for k, v in s.environment.items()} == {
        **visible,
        "HIP_FORCE_DEV_KERNARG": "1",
        "NCCL_MIN_NCHANNELS": "112",
    }
    assert [node for s in known for node in s.devices] == ["/dev/kfd", "/dev/dri"]
    assert [group for s in known for group in s.groups] == ["video", "render"]


def test_only_the_program_loads_the_library() -> None:
    """Import, registration, catalogue and settings load neither amdsmi nor a native library."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_kit_passes_with_the_stub(rocm) -> None:
    """All checks of the kit that need devices, through core's agent."""
    kit = Path(__file__).with_name("test_amd_kit.py")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(kit)]
    env = {**os.environ, "ROCM_PATH": str(rocm)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "no amd here" not in done.stdout
