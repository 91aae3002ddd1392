"""Facts of the GLM models. Sources and what could not be read: README.md of this distribution.

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

GLM_5 = ModelSpec(
    name="glm-5",
    summary="GLM-5, 744B parameters, 40B active",
    aliases=("glm5",),
    weights=(
        hub_weights("bf16", "zai-org/GLM-5"),
        hub_weights("fp8", "zai-org/GLM-5-FP8"),
        hub_weights("nvfp4", "nvidia/GLM-5-NVFP4"),
    ),
    architecture=Architecture(
        parameters=744_000_000_000,
        active_parameters=40_000_000_000,
        layers=78,
        hidden=6144,
        heads=64,
        kv_heads=64,
        head_dim=256,
        value_head_dim=256,
        latent_dim=512,
        rope_dim=64,
        index_dim=128,
        intermediate=12_288,
        experts=256,
        active_experts=8,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=154_880,
        context_tokens=202_752,
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
            tool="glm47",
            reasoning="glm45",
            source="https://recipes.vllm.ai/zai-org/GLM-5",
            date="2026-08-14",
        ),
    ),
)

GLM_5_1 = ModelSpec(
    name="glm-5.1",
    summary="GLM-5.1, 744B parameters, 40B active",
    aliases=("glm5.1",),
    weights=(
        hub_weights("bf16", "zai-org/GLM-5.1"),
        hub_weights("fp8", "zai-org/GLM-5.1-FP8"),
        hub_weights("nvfp4", "nvidia/GLM-5.1-NVFP4"),
        hub_weights("mxfp4", "amd/GLM-5.1-MXFP4"),
    ),
    architecture=Architecture(
        parameters=744_000_000_000,
        active_parameters=40_000_000_000,
        layers=78,
        hidden=6144,
        heads=64,
        kv_heads=64,
        head_dim=256,
        value_head_dim=256,
        latent_dim=512,
        rope_dim=64,
        index_dim=128,
        intermediate=12_288,
        experts=256,
        active_experts=8,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=154_880,
        context_tokens=202_752,
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.93,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="glm47",
            reasoning="glm45",
            source="https://recipes.vllm.ai/zai-org/GLM-5.1",
            date="2026-05-21",
        ),
    ),
)

# 57 of its 78 indexers share the choice of another layer. Whether an engine allocates a cache for
# them could not be read: all 78 are counted.
GLM_5_2 = ModelSpec(
    name="glm-5.2",
    summary="GLM-5.2, 743B parameters, 39B active",
    aliases=("glm5.2",),
    weights=(
        hub_weights("bf16", "zai-org/GLM-5.2"),
        hub_weights("fp8", "zai-org/GLM-5.2-FP8"),
        hub_weights("nvfp4", "nvidia/GLM-5.2-NVFP4"),
        hub_weights("mxfp4", "amd/GLM-5.2-MXFP4"),
    ),
    architecture=Architecture(
        parameters=743_000_000_000,
        active_parameters=39_000_000_000,
        layers=78,
        hidden=6144,
        heads=64,
        kv_heads=64,
        head_dim=256,
        value_head_dim=256,
        latent_dim=512,
        rope_dim=64,
        index_dim=128,
        intermediate=12_288,
        experts=256,
        active_experts=8,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=154_880,
        context_tokens=1_048_576,
    ),
    extra_weights=FrozenMap(
        {"dspark": hub_weights("unknown", "RedHatAI/GLM-5.2-speculator.dspark", purpose="draft")}
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="glm47",
            reasoning="glm45",
            source="https://recipes.vllm.ai/zai-org/GLM-5.2",
            date="2026-07-12",
        ),
    ),
)

MODELS = (GLM_5, GLM_5_1, GLM_5_2)
