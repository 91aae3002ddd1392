"""The catalogue of NVIDIA GPUs."""

from __future__ import annotations

import pytest
from tokenbench_hardware_nvidia.catalogue import by_driver_name


@pytest.mark.parametrize(
    ("name", "sku"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx6000pro"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx6000pro-workstation"),
        ("Tesla V100-SXM2-32GB", "v100-32gb"),
        ("NVIDIA GeForce RTX 4090", None),
        ("NVIDIA A100-SXM4-40GB", None),
    ],
)
def test_driver_names(name: str, sku: str | None) -> None:
    """A similar name does not match."""
    assert by_driver_name(name) == sku
