"""The catalogue of NVIDIA GPUs, and the names of slowdown reasons."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tokenbench_hardware_nvidia.catalogue import CATALOGUE, by_driver_name
from tokenbench_hardware_nvidia.readings import REASONS, reasons

CONSTANTS = Path(__file__).resolve().parents[5] / "shared" / "data" / "hardware_constants.csv"


def test_the_catalogue() -> None:
    """Names and aliases are unique; figures have source and date."""
    assert len({sku.name for sku in CATALOGUE}) == len(CATALOGUE)
    aliases = [alias for sku in CATALOGUE for alias in sku.aliases]
    assert len(set(aliases)) == len(aliases)
    for sku in CATALOGUE:
        assert sku.source and sku.date
        assert all(alias == alias.lower() for alias in sku.aliases)
        assert 0 not in (sku.memory_bytes, sku.memory_bandwidth_bytes_s, sku.tdp_w)


@pytest.mark.parametrize(
    ("name", "sku"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx6000pro"),
        ("NVIDIA GeForce RTX 4090", None),
        ("NVIDIA A100-SXM4-40GB", None),
    ],
)
def test_driver_names(name: str, sku: str | None) -> None:
    """A similar name does not match."""
    assert by_driver_name(name) == sku


def test_figures_match_their_source() -> None:
    """Each chip of InferenceX's table, with TDP, memory, bandwidth and FLOP/s."""
    if not CONSTANTS.exists():
        pytest.skip("no ../shared/data/hardware_constants.csv beside this checkout")
    ours = {sku.name: sku for sku in CATALOGUE if "InferenceX" in sku.source}
    with CONSTANTS.open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file) if row["vendor"] == "NVIDIA"}
    assert set(rows) == set(ours)
    for name, row in rows.items():
        sku = ours[name]
        assert sku.tdp_w == float(row["tdp_w"])
        assert sku.memory_bytes == (int(row["hbm_gb"]) << 30 if row["hbm_gb"] else None)
        bandwidth = float(row["hbm_tb_s"]) * 1e12 if row["hbm_tb_s"] else None
        assert sku.memory_bandwidth_bytes_s == bandwidth
        kinds = ("fp4", "fp8", "bf16")
        flops = {k: row[f"{k}_dense_tflops"] for k in kinds if row[f"{k}_dense_tflops"]}
        assert dict(sku.dense_flops) == {k: float(v) * 1e12 for k, v in flops.items()}


def test_slowdown_reasons() -> None:
    """Bits to names; unknown bits are shown as a number."""
    assert reasons(0) == ()
    assert reasons(0x8 | 0x80) == ("hw slowdown", "hw power brake")
    assert reasons(0x1 | 0x4000) == ("idle", "unknown 0x4000")


def test_slowdown_reasons_match_nvml() -> None:
    """Every bit in the installed nvidia-ml-py has a name."""
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    assert not pynvml.nvmlClocksThrottleReasonAll & ~sum(REASONS)
    assert REASONS[pynvml.nvmlClocksThrottleReasonSwPowerCap] == "power cap"
    assert REASONS[pynvml.nvmlClocksThrottleReasonHwThermalSlowdown] == "hw thermal slowdown"
    assert REASONS[pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown] == "hw power brake"
