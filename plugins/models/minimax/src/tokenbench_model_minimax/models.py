"""Facts of the MiniMax models. Sources and what could not be read: README.md of this distribution.

Shapes: the models' config.json as copied in ai-dynamo/aiconfigurator@095f58a of 2026-08-21.
Repositories, counts of parameters and parsers: vLLM's recipes, vllm-project/recipes@8959cf6 of
2026-08-21. All read on 2026-11-30. The commits of the repositories could not be read.
"""

from __future__ import annotations

from tokenbench.api import (
    AccuracyThreshold,
    Architecture,
    FrozenMap,
    ModelSpec,
    Parsers,
    hub_weights,
)

# The config names 3 MTP modules; that the published weights have them could not be read, and no
# recipe uses them.
MINIMAX_M2_5 = ModelSpec(
    name="minimax-m2.5",
    summary="MiniMax-M2.5, 230B parameters, 10B active",
    aliases=("minimaxm2.5",),
    weights=(
        hub_weights("fp8", "MiniMaxAI/MiniMax-M2.5"),
        hub_weights("nvfp4", "nvidia/MiniMax-M2.5-NVFP4"),
        hub_weights("mxfp4", "amd/MiniMax-M2.5-MXFP4"),
    ),
    architecture=Architecture(
        parameters=230_000_000_000,
        active_parameters=10_000_000_000,
        layers=62,
        hidden=3072,
        heads=48,
        kv_heads=8,
        head_dim=128,
        experts=256,
        active_experts=8,
        expert_intermediate=1536,
        vocabulary=200_064,
        context_tokens=196_608,
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.92,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="minimax_m2",
            reasoning="minimax_m2",
            source="https://recipes.vllm.ai/MiniMaxAI/MiniMax-M2.5",
            date="2026-05-18",
        ),
    ),
)

MINIMAX_M2_7 = ModelSpec(
    name="minimax-m2.7",
    summary="MiniMax-M2.7, 230B parameters, 10B active",
    weights=(
        hub_weights("fp8", "MiniMaxAI/MiniMax-M2.7"),
        hub_weights("nvfp4", "nvidia/MiniMax-M2.7-NVFP4"),
    ),
    architecture=Architecture(
        parameters=230_000_000_000,
        active_parameters=10_000_000_000,
        layers=62,
        hidden=3072,
        heads=48,
        kv_heads=8,
        head_dim=128,
        experts=256,
        active_experts=8,
        expert_intermediate=1536,
        vocabulary=200_064,
        context_tokens=204_800,
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="minimax_m2",
            reasoning="minimax_m2",
            source="https://recipes.vllm.ai/MiniMaxAI/MiniMax-M2.7",
            date="2026-04-17",
        ),
    ),
)

# The copied config has 1,048,576 positions, vLLM's recipe says 524,288 and 1M advertised. The
# indexer caches one key of 128 per token in 57 layers (TensorRT-LLM, MiniMaxM3SparseIndexCache).
MINIMAX_M3 = ModelSpec(
    name="minimax-m3",
    summary="MiniMax-M3, 427B parameters, 26B active, sparse attention",
    aliases=("minimaxm3",),
    weights=(
        hub_weights("bf16", "MiniMaxAI/MiniMax-M3"),
        hub_weights("mxfp8", "MiniMaxAI/MiniMax-M3-MXFP8"),
        hub_weights("nvfp4", "nvidia/MiniMax-M3-NVFP4"),
        hub_weights("mxfp4", "amd/MiniMax-M3-MXFP4"),
    ),
    architecture=Architecture(
        parameters=427_000_000_000,
        active_parameters=26_000_000_000,
        layers=60,
        hidden=6144,
        heads=64,
        kv_heads=4,
        head_dim=128,
        index_dim=128,
        index_layers=57,
        intermediate=12_288,
        experts=128,
        active_experts=4,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=3072,
        vocabulary=200_064,
        context_tokens=1_048_576,
    ),
    extra_weights=FrozenMap(
        {
            "eagle": hub_weights("unknown", "Inferact/MiniMax-M3-EAGLE3", purpose="eagle"),
            "eagle-gqa": hub_weights("unknown", "Inferact/MiniMax-M3-EAGLE3-GQA", purpose="eagle"),
        }
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="minimax_m3",
            reasoning="minimax_m3",
            source="https://recipes.vllm.ai/MiniMaxAI/MiniMax-M3",
            date="2026-08-03",
        ),
    ),
)

MODELS = (MINIMAX_M2_5, MINIMAX_M2_7, MINIMAX_M3)
