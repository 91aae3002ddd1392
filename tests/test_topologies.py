"""Every job of InferenceX's generator has a topology here, and its accelerators are counted."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tokenbench.api import Pool, Topology

FILE = Path(__file__).resolve().parent.parent / "tools" / "topologies.py"
SPEC = importlib.util.spec_from_file_location("topologies", FILE)
assert SPEC is not None and SPEC.loader is not None
tool: Any = importlib.util.module_from_spec(SPEC)
sys.modules["topologies"] = tool
SPEC.loader.exec_module(tool)


def test_all_rows_map_to_topologies(shared_data) -> None:
    """60 of 1,355 have wide EP: the reference counts 25 of them too low, by 4 or 8 in a pool."""
    text = shared_data("inferencex/nvidia-rows.jsonl").read_text()
    found = [tool.mapped(json.loads(line)) for line in text.splitlines()]
    assert len(found) == 1355
    wide = [one for one in found if one.why]
    assert len(wide) == 60
    more = Counter(one.layout.accelerators > one.reference for one in wide)
    assert more == {True: 25, False: 35}
    for one in found:
        if not one.why:
            assert one.layout.accelerators == one.reference, one


def test_a_disaggregated_row() -> None:
    """TensorRT-LLM's attention DP stays inside TP; vLLM's is a rank of its own."""
    part = {"tp": 4, "pp": 1, "pcp-size": 1, "dcp-size": 1, "ep": 4, "dp-attn": True}
    row = {
        "framework": "dynamo-trt",
        "disagg": True,
        "prefill": {**part, "num-worker": 2},
        "decode": {**part, "num-worker": 1, "tp": 8, "ep": 8, "dp-attn": False},
    }
    assert tool.mapped(row).layout.pools == (
        Pool(role="prefill", topology=Topology(tp=4, ep=4, attention_dp=4), replicas=2),
        Pool(role="decode", topology=Topology(tp=8, ep=8)),
    )
    vllm = tool.mapped({**row, "framework": "dynamo-vllm"})
    assert vllm.layout.pools[0].topology == Topology(dp=4, ep=4)
