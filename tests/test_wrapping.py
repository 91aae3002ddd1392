"""What holds for an engine holds for its workers in another one."""

from __future__ import annotations

import json
import re
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


def test_options_of_a_pool_are_values_however_they_are_written(cli, tmp_path: Path) -> None:
    """As text and as a mapping, they are the same deployment."""
    written = SUITE % ""
    text = 'engine: "vllm:speculation=mtp,speculative_tokens=2"'
    found = []
    for suite in (written, re.sub(r"engine: \{vllm: .*\}", text, written)):
        (tmp_path / "suite.yaml").write_text(suite)
        done = cli("plan", "suite.yaml", "--json")
        assert done.code == 0, done.err
        (deployment,) = json.loads(done.out)["deployments"]
        found.append(deployment["id"])
    assert text in suite and found[0] == found[1]
