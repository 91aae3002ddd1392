"""The aggregated vLLM jobs of InferenceX, planned with the facts of model and chip."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from tokenbench_engine_vllm.plugin import VllmOptions, bench_register_engines

from tokenbench.api import (
    SERVER,
    EngineRequest,
    HardwareFacts,
    Layout,
    ModelSpec,
    PluginContext,
    ServingNeeds,
    UsageError,
)
from tokenbench.plugins.catalogue import read_catalogue
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.suite.schema import PluginRef

ROOT = Path(__file__).resolve().parent.parent
_SPEC = importlib.util.spec_from_file_location("vllm_rows_topologies", ROOT / "tools/topologies.py")
assert _SPEC is not None and _SPEC.loader is not None
topologies: Any = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = topologies  # attrs looks its classes' module up.
_SPEC.loader.exec_module(topologies)
PRECISIONS = {"fp4": ("fp4", "nvfp4", "mxfp4"), "fp8": ("fp8", "mxfp8")}
# Why a job is refused. 35 jobs of Kimi-K3 run on four hosts. What InferenceX calls "mtp" may be an
# EAGLE head, and the facts of Kimi-K3 and MiniMax-M3 name no MTP heads. It runs DeepSeek-V4's fp4
# weights on H200 under the name fp8; the weights in fp8 do not fit.
REFUSALS = ("several hosts need an orchestrator", "name no MTP heads", "does not fit")


def test_jobs_are_planned(shared_data: Callable[[str], Path]) -> None:
    """Each job gets as many accelerators as its layout has, or a reason that is known."""
    rows = map(json.loads, shared_data("inferencex/nvidia-rows.jsonl").read_text().splitlines())
    mine = [row for row in rows if row["framework"] == "vllm" and not row.get("disagg")]
    outcomes = Counter(_outcome(row) for row in mine)
    assert outcomes["planned"] >= 80
    assert set(outcomes) - {"planned"} <= set(REFUSALS)
    assert outcomes[REFUSALS[0]] == 35


@functools.cache
def _plugins() -> PluginInstances:
    return PluginInstances(PluginRegistry())


def _outcome(row: dict[str, Any]) -> str:
    (spec,) = bench_register_engines()
    options: dict[str, Any] = {}
    if row["spec-decoding"] == "mtp":
        options = {"speculation": "mtp", "speculative_tokens": 1}
    engine = spec.factory(VllmOptions(**options), PluginContext())  # type: ignore[arg-type,return-value]
    request = _request(row)
    try:
        (process,) = engine.plan(request).processes
    except UsageError as error:
        return next((why for why in REFUSALS if why in error.message), error.message)
    assert process.accelerators == request.layout.accelerators
    return "planned"


def _request(row: dict[str, Any]) -> EngineRequest:
    plugins = _plugins()
    model: ModelSpec = plugins.model(PluginRef(row["model-prefix"]))
    weights = next(w for w in model.weights if w.precision in PRECISIONS[row["precision"]])
    (pool,) = topologies.mapped(row).layout.pools
    layout = Layout(pools=(attrs.evolve(pool, role=SERVER),))
    chip = re.search(r"[bh]\d+", row["runner"])
    assert chip is not None
    sku = read_catalogue(plugins.registry).find(chip[0], None).sku
    return EngineRequest(
        model=model.name,
        served_name=model.name,
        weights=weights,
        architecture=model.architecture,
        hardware=HardwareFacts(kind="nvidia", sku=sku.name, count=layout.accelerators, chip=sku),
        layout=layout,
        needs=ServingNeeds(context_tokens=row.get("max-model-len"), concurrency=row["conc"]),
        extra_weights=model.extra_weights,
    )
