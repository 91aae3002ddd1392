"""Facts of the Kimi models. Sources and what could not be read: README.md of this distribution.

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

# Published as 1T parameters; 1.026T is the sum over the shapes of its layers. Sizes are rounded to
# GB in vLLM's recipe.
KIMI_K2_5 = ModelSpec(
    name="kimi-k2.5",
    summary="Kimi-K2.5, 1T parameters, 32B active",
    aliases=("kimik2.5",),
    weights=(
        hub_weights("int4", "moonshotai/Kimi-K2.5", size_bytes=595_000_000_000),
        hub_weights("nvfp4", "nvidia/Kimi-K2.5-NVFP4"),
        hub_weights("mxfp4", "amd/Kimi-K2.5-MXFP4", size_bytes=557_000_000_000),
    ),
    architecture=Architecture(
        parameters=1_026_000_000_000,
        active_parameters=32_000_000_000,
        layers=61,
        hidden=7168,
        heads=64,
        kv_heads=64,
        head_dim=192,
        value_head_dim=128,
        latent_dim=512,
        rope_dim=64,
        intermediate=18_432,
        experts=384,
        active_experts=8,
        shared_experts=1,
        dense_layers=1,
        expert_intermediate=2048,
        vocabulary=163_840,
        context_tokens=262_144,
    ),
    extra_weights=FrozenMap(
        {"eagle": hub_weights("unknown", "lightseekorg/kimi-k2.5-eagle3-mla", purpose="eagle")}
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.9,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="kimi_k2",
            reasoning="kimi_k2",
            source="https://recipes.vllm.ai/moonshotai/Kimi-K2.5",
            date="2026-07-29",
        ),
    ),
)

KIMI_K2_6 = ModelSpec(
    name="kimi-k2.6",
    summary="Kimi-K2.6, 1T parameters, 32B active",
    aliases=("kimik2.6",),
    weights=(
        hub_weights("int4", "moonshotai/Kimi-K2.6", size_bytes=595_000_000_000),
        hub_weights("nvfp4", "nvidia/Kimi-K2.6-NVFP4"),
    ),
    architecture=Architecture(
        parameters=1_026_000_000_000,
        active_parameters=32_000_000_000,
        layers=61,
        hidden=7168,
        heads=64,
        kv_heads=64,
        head_dim=192,
        value_head_dim=128,
        latent_dim=512,
        rope_dim=64,
        intermediate=18_432,
        experts=384,
        active_experts=8,
        shared_experts=1,
        dense_layers=1,
        expert_intermediate=2048,
        vocabulary=163_840,
        context_tokens=262_144,
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="kimi_k2",
            reasoning="kimi_k2",
            source="https://recipes.vllm.ai/moonshotai/Kimi-K2.6",
            date="2026-07-29",
        ),
    ),
)

# Published as 2.8T; 2.778T is 104B and the experts that a token does not take.
# Active parameters: NVIDIA's NeMo AutoModel documentation, read 2026-11-30. 69 layers have Kimi
# Delta Attention; what they keep per sequence is as vLLM allocates it (matrices in fp32).
KIMI_K3 = ModelSpec(
    name="kimi-k3",
    summary="Kimi-K3, 2.8T parameters, 104B active",
    aliases=("kimik3",),
    weights=(
        hub_weights("mxfp4", "moonshotai/Kimi-K3"),
        hub_weights("nvfp4", "RedHatAI/Kimi-K3-NVFP4"),
    ),
    architecture=Architecture(
        parameters=2_778_000_000_000,
        active_parameters=104_000_000_000,
        layers=93,
        hidden=7168,
        heads=96,
        kv_heads=96,
        head_dim=192,
        value_head_dim=128,
        latent_dim=512,
        rope_dim=64,
        linear_layers=69,
        state_bytes=449_372_160,
        intermediate=33_792,
        experts=896,
        active_experts=16,
        shared_experts=2,
        dense_layers=1,
        expert_intermediate=3072,
        expert_hidden=3584,
        vocabulary=163_840,
        context_tokens=1_048_576,
    ),
    extra_weights=FrozenMap(
        {"dspark": hub_weights("unknown", "RedHatAI/Kimi-K3-speculator.dspark", purpose="draft")}
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="kimi_k3",
            reasoning="kimi_k3",
            source="https://recipes.vllm.ai/moonshotai/Kimi-K3",
            date="2026-08-15",
        ),
    ),
)

MODELS = (KIMI_K2_5, KIMI_K2_6, KIMI_K3)
