"""Settings of processes on NVIDIA GPUs, the program for hosts, and the plugin's options."""

from __future__ import annotations

import pytest
from tokenbench_hardware_nvidia import plugin
from tokenbench_hardware_nvidia.hardware import NvidiaGpus

from tokenbench.api import FrozenMap, PluginContext


def environment(sku: str | None) -> dict[str, str]:
    """All variables for this SKU."""
    return {k: v for s in NvidiaGpus().settings(sku) for k, v in s.environment.items()}


@pytest.mark.parametrize("sku", ["h200", "v100-32gb", "rtx6000pro", None])
def test_every_gpu(sku: str | None) -> None:
    """GPUs are selected in the driver's order; the control nodes are needed by all."""
    assert environment(sku) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "{devices}",
    }
    settings = NvidiaGpus().settings(sku)
    assert [node for s in settings for node in s.devices] == ["/dev/nvidiactl", "/dev/nvidia-uvm"]
    assert all(s.reason for s in settings)


@pytest.mark.parametrize("sku", ["gb200", "gb300"])
def test_racks(sku: str) -> None:
    """NCCL's memory for NVLink between hosts; NVLink itself is found by NCCL."""
    assert environment(sku)["NCCL_CUMEM_ENABLE"] == "1"
    assert "NCCL_MNNVL_ENABLE" not in environment(sku)


def test_the_program() -> None:
    """The address of DCGM's page goes to the host; pynvml travels with the program."""
    (spec,) = plugin.bench_register_hardware()
    program = spec.factory(spec.options(), PluginContext()).program()
    assert program.bindings == ("pynvml",)
    assert program.options == FrozenMap({})
    address = "http://127.0.0.1:9400/metrics"
    assert spec.factory(spec.options(dcgm=address), PluginContext()).program().options == FrozenMap(
        {"dcgm": address}
    )


@pytest.mark.parametrize("address", ["127.0.0.1:9400", "http://user:key@host/metrics"])
def test_a_wrong_address(address: str) -> None:
    """It is refused before anything runs."""
    (spec,) = plugin.bench_register_hardware()
    with pytest.raises(ValueError, match=r"http://HOST|address"):
        spec.options(dcgm=address)
