"""What holds for an engine holds for its workers in another one."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = """
deployments:
  - engine: dynamo
    model: deepseek-r1-0528
    weights: fp8
    hardware: h200:16
    pools:
      - {role: prefill, topology: {tp: 8}}
      - role: decode
        topology: {tp: 8}
        engine: {vllm: {speculation: mtp, speculative_tokens: 2%s}}
workloads: [{random: {input_tokens: 512, output_tokens: 64}}]
evals: [demo]
"""


@pytest.mark.parametrize("simulated", [True, False])
def test_a_wrapped_engine_that_simulates_acceptance(cli, tmp_path: Path, simulated: bool) -> None:
    """No gate is asked of it: the plan has a twin whose acceptance is real."""
    more = ", synthetic_acceptance_length: 2.5" if simulated else ""
    (tmp_path / "suite.yaml").write_text(SUITE % more)
    done = cli("plan", "suite.yaml")
    assert done.code == 0, done.err
    assert ("acceptance of drafts: simulated -> real" in done.out) is simulated
