"""Keys of a row: parallelism, throughput, latencies, power."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from tokenbench.api import DECODE, PREFILL, CheckOutcome, Measurement, PointResult

from .layout import Degrees

FRAMEWORKS = MappingProxyType(
    {"trtllm": "trt", "dynamo-trtllm": "dynamo-trt", "sglang-mori": "mori-sglang"}
)
"""Engines that InferenceX calls otherwise (published rows, 2026-06-14)."""
MODEL_PREFIXES = MappingProxyType(
    {
        "deepseek-r1-0528": "dsr1",
        "deepseek-v4-pro": "dsv4",
        "glm-5": "glm5",
        "glm-5.1": "glm5.1",
        "glm-5.2": "glm5.2",
        "gpt-oss-120b": "gptoss",
        "kimi-k2.5": "kimik2.5",
        "kimi-k2.6": "kimik2.6",
        "kimi-k3": "kimik3",
        "minimax-m2.5": "minimaxm2.5",
        "minimax-m3": "minimaxm3",
        "qwen3.5-397b-a17b": "qwen3.5",
    }
)
"""`model-prefix` of InferenceX's configurations, 2026-08-21."""
_STATISTICS = MappingProxyType(
    {
        "mean": "mean",
        "median": "p50",
        "p75": "p75",
        "p90": "p90",
        "p95": "p95",
        "p99": "p99",
        "p99.9": "p99_9",
    }
)
_TIMES = MappingProxyType(
    {
        "ttft": "ttft_s",
        "tpot": "tpot_s",
        "intvty": "interactivity_tok_s",
        "itl": "itl_chunk_s",
        "e2el": "e2e_s",
    }
)
_POWER_SCHEMA = 2
"""Since this version, `joules_per_*` without a role are of the whole deployment's energy."""
_ENERGY = MappingProxyType(
    {
        "avg_total_gpu_power_w": "power_w.accelerator",
        "total_gpu_energy_j": "energy_j.accelerator",
        "joules_per_successful_query": "energy_j_per_request.accelerator",
        "joules_per_input_token": "energy_j_per_input_token.accelerator",
        "joules_per_output_token": "energy_j_per_output_token.accelerator",
        "joules_per_total_token": "energy_j_per_total_token.accelerator",
        "prefill_joules_per_input_token": "energy_j_per_input_token.prefill",
        "decode_joules_per_output_token": "energy_j_per_output_token.decode",
    }
)


def configuration(point: PointResult, layout: dict[str | None, Degrees]) -> dict[str, Any]:
    """The keys of parallelism: with a role each if roles are apart, else without.

    Attention DP is a text, as the workflow's input is. Unknown workers are null. `num_gpus`:
    without it, the dashboard takes tp x ep for the number of one server's accelerators, in which ep
    does not add any.
    """
    if point.roles is None:
        degrees = _degrees(layout[None], "")
        return {"is_multinode": False, **degrees, "num_gpus": point.accelerators}
    found: dict[str, Any] = {"is_multinode": True}
    for role in (PREFILL, DECODE):
        found |= _degrees(layout[role], f"{role}_")
        found[f"{role}_num_workers"] = layout[role].workers
    return found | {f"num_{role}_gpu": point.roles[role] for role in (PREFILL, DECODE)}


def _degrees(degrees: Degrees, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}tp": degrees.tp,
        f"{prefix}pp": degrees.pp,
        f"{prefix}dcp_size": degrees.dcp,
        f"{prefix}pcp_size": degrees.pcp,
        f"{prefix}ep": degrees.ep,
        f"{prefix}dp_attention": str(degrees.attention_dp).lower(),
    }


def metrics(point: PointResult) -> dict[str, Any]:
    """Throughput per accelerator of the whole phase, latencies, and power."""
    out, into = "output_tok_s_per_accelerator.whole", "input_tok_s_per_accelerator.whole"
    if point.roles is not None:
        out = "output_tok_s_per_decode_accelerator.whole"
        into = "input_tok_s_per_prefill_accelerator.whole"
    names = {
        "tput_per_gpu": "total_tok_s_per_accelerator.whole",
        "output_tput_per_gpu": out,
        "input_tput_per_gpu": into,
        **{
            f"{theirs}_{time}": f"{metric}.{ours}"
            for time, metric in _TIMES.items()
            for theirs, ours in _STATISTICS.items()
        },
    }
    return {**_measured(point, names), **_power(point)}


def _power(point: PointResult) -> dict[str, Any]:
    """Without the metrics where the check of the telemetry failed, as InferenceX does.

    `power_valid` says that a check was done and passed; for an imported point its source's, if any.
    """
    found: dict[str, Any] = dict(_measured(point, dict(_ENERGY)))
    total = found.get("avg_total_gpu_power_w")
    if total is not None and point.accelerators:
        found = {"avg_power_w": total / point.accelerators, **found}
    version = {"power_metric_schema_version": _POWER_SCHEMA}
    if point.measurement is Measurement.IMPORTED:
        stated = None if point.origin is None else point.origin.fields.get("power_valid")
        checked = {} if stated is None else {"power_valid": stated}
        return {**found, **version, **checked} if found or checked else {}
    bad = (CheckOutcome.FLAGGED, CheckOutcome.INVALID)
    valid = total is not None and not any(
        check.name == "telemetry" and check.outcome in bad for check in point.checks
    )
    return {**(found if valid else {}), **version, "power_valid": int(valid)}


def _measured(point: PointResult, names: dict[str, str]) -> dict[str, float]:
    """The means of metrics by InferenceX's keys, without those that were not measured."""
    means = {key: point.mean(name) for key, name in names.items()}
    return {key: mean for key, mean in means.items() if mean is not None}
