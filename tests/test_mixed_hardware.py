"""Pools with hardware of their own."""

from __future__ import annotations

from pathlib import Path

SUITE = """
deployments:
  - engine: vllm
    model: llama-3.3-70b
    weights: fp8
    hardware: mi300x:16
    pools:
      - {role: prefill, topology: {tp: 8}}
      - {role: decode, topology: {tp: 8}, hardware: mi355x}
workloads: [{random: {input_tokens: 512, output_tokens: 64}}]
"""


def test_each_pool_has_the_settings_of_its_own_chip(cli, tmp_path: Path) -> None:
    """More RCCL channels are for MI300X only; both select their devices, each once."""
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = cli("plan", "suite.yaml", "--explain")
    assert done.code == 0, done.err
    lines = [line.split(" = ")[0].strip() for line in done.out.splitlines()]
    assert "prefill variable NCCL_MIN_NCHANNELS" in lines
    assert "decode variable NCCL_MIN_NCHANNELS" not in lines
    for role in ("prefill", "decode"):
        assert lines.count(f"{role} variable HIP_VISIBLE_DEVICES") == 1
