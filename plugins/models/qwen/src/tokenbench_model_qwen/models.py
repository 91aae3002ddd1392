"""Facts of the Qwen models. Sources and what could not be read: README.md of this distribution.

Shapes: the models' config.json as copied in ai-dynamo/aiconfigurator@095f58a of 2026-08-21.
Repositories, counts of parameters and parsers: vLLM's recipes, vllm-project/recipes@8959cf6 of
2026-08-21. All read on 2026-11-30. The commits of the repositories could not be read.
"""

from __future__ import annotations

from tokenbench.api import AccuracyThreshold, Architecture, ModelSpec, Parsers, hub_weights

QWEN3_5_397B_A17B = ModelSpec(
    name="qwen3.5-397b-a17b",
    summary="Qwen3.5-397B-A17B, gated delta networks",
    aliases=("qwen3.5",),
    weights=(
        hub_weights("bf16", "Qwen/Qwen3.5-397B-A17B"),
        hub_weights("fp8", "Qwen/Qwen3.5-397B-A17B-FP8"),
        hub_weights("nvfp4", "nvidia/Qwen3.5-397B-A17B-NVFP4"),
        hub_weights("mxfp4", "amd/Qwen3.5-397B-A17B-MXFP4"),
        hub_weights("int4-gptq", "Qwen/Qwen3.5-397B-A17B-GPTQ-Int4"),
    ),
    architecture=Architecture(
        parameters=397_000_000_000,
        active_parameters=17_000_000_000,
        layers=60,
        hidden=4096,
        heads=32,
        kv_heads=2,
        head_dim=256,
        linear_layers=45,
        state_bytes=192_061_440,
        experts=512,
        active_experts=10,
        shared_experts=1,
        expert_intermediate=1024,
        mtp_heads=1,
        vocabulary=248_320,
        context_tokens=262_144,
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.94,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="qwen3_coder",
            reasoning="qwen3",
            source="https://recipes.vllm.ai/Qwen/Qwen3.5-397B-A17B",
            date="2026-04-16",
        ),
    ),
)

QWEN3_5_122B_A10B = ModelSpec(
    name="qwen3.5-122b-a10b",
    summary="Qwen3.5-122B-A10B, gated delta networks",
    weights=(
        hub_weights("bf16", "Qwen/Qwen3.5-122B-A10B"),
        hub_weights("nvfp4", "nvidia/Qwen3.5-122B-A10B-NVFP4"),
    ),
    architecture=Architecture(
        parameters=122_000_000_000,
        active_parameters=10_000_000_000,
        layers=48,
        hidden=3072,
        heads=32,
        kv_heads=2,
        head_dim=256,
        linear_layers=36,
        state_bytes=153_649_152,
        experts=256,
        active_experts=8,
        shared_experts=1,
        expert_intermediate=1024,
        mtp_heads=1,
        vocabulary=248_320,
        context_tokens=262_144,
    ),
)

QWEN3_5_35B_A3B = ModelSpec(
    name="qwen3.5-35b-a3b",
    summary="Qwen3.5-35B-A3B, gated delta networks",
    weights=(
        hub_weights("bf16", "Qwen/Qwen3.5-35B-A3B"),
        hub_weights("fp8", "Qwen/Qwen3.5-35B-A3B-FP8"),
        hub_weights("int4-gptq", "Qwen/Qwen3.5-35B-A3B-GPTQ-Int4"),
    ),
    architecture=Architecture(
        parameters=35_000_000_000,
        active_parameters=3_000_000_000,
        layers=40,
        hidden=2048,
        heads=16,
        kv_heads=2,
        head_dim=256,
        linear_layers=30,
        state_bytes=64_389_120,
        experts=256,
        active_experts=8,
        shared_experts=1,
        expert_intermediate=512,
        mtp_heads=1,
        vocabulary=248_320,
        context_tokens=262_144,
    ),
)

QWEN3_5_27B = ModelSpec(
    name="qwen3.5-27b",
    summary="Qwen3.5-27B, dense, gated delta networks",
    weights=(
        hub_weights("bf16", "Qwen/Qwen3.5-27B"),
        hub_weights("fp8", "Qwen/Qwen3.5-27B-FP8"),
        hub_weights("int4-gptq", "Qwen/Qwen3.5-27B-GPTQ-Int4"),
    ),
    architecture=Architecture(
        parameters=27_000_000_000,
        active_parameters=27_000_000_000,
        layers=64,
        hidden=5120,
        heads=24,
        kv_heads=4,
        head_dim=256,
        linear_layers=48,
        state_bytes=153_944_064,
        intermediate=17_408,
        mtp_heads=1,
        vocabulary=248_320,
        context_tokens=262_144,
    ),
)

MODELS = (QWEN3_5_397B_A17B, QWEN3_5_122B_A10B, QWEN3_5_35B_A3B, QWEN3_5_27B)
