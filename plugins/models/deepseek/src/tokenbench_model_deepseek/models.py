"""Facts of the DeepSeek models. Sources and what could not be read: README.md of this distribution.

Shapes: the models' config.json as copied in ai-dynamo/aiconfigurator@095f58a of 2026-08-21.
Repositories, counts of parameters and parsers: vLLM's recipes, vllm-project/recipes@8959cf6 of
2026-08-21. All read on 2026-11-30. The commits of the repositories could not be read.
"""

from __future__ import annotations

from tokenbench.api import (
    AccuracyThreshold,
    Architecture,
    CacheLayers,
    ModelSpec,
    Parsers,
    hub_weights,
)

# The config of DeepSeek-R1, of which this is a later training: the shapes are equal.
DEEPSEEK_R1_0528 = ModelSpec(
    name="deepseek-r1-0528",
    summary="DeepSeek-R1-0528, 671B parameters, 37B active",
    aliases=("dsr1",),
    weights=(
        hub_weights("fp8", "deepseek-ai/DeepSeek-R1-0528"),
        hub_weights("nvfp4", "nvidia/DeepSeek-R1-0528-NVFP4-v2"),
        hub_weights("mxfp4", "amd/DeepSeek-R1-0528-MXFP4-v2"),
    ),
    architecture=Architecture(
        parameters=671_000_000_000,
        active_parameters=37_000_000_000,
        layers=61,
        hidden=7168,
        heads=128,
        kv_heads=128,
        head_dim=192,
        value_head_dim=128,
        latent_dim=512,
        rope_dim=64,
        intermediate=18_432,
        experts=256,
        active_experts=8,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=129_280,
        context_tokens=163_840,
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.91,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="deepseek_v3",
            reasoning="deepseek_r1",
            source="https://recipes.vllm.ai/deepseek-ai/DeepSeek-R1",
            date="2026-04-17",
        ),
    ),
)

DEEPSEEK_V3_2 = ModelSpec(
    name="deepseek-v3.2",
    summary="DeepSeek-V3.2, 671B parameters, 37B active, sparse attention",
    weights=(
        hub_weights("fp8", "deepseek-ai/DeepSeek-V3.2"),
        hub_weights("nvfp4", "nvidia/DeepSeek-V3.2-NVFP4"),
    ),
    architecture=Architecture(
        parameters=671_000_000_000,
        active_parameters=37_000_000_000,
        layers=61,
        hidden=7168,
        heads=128,
        kv_heads=128,
        head_dim=192,
        value_head_dim=128,
        latent_dim=512,
        rope_dim=64,
        index_dim=128,
        intermediate=18_432,
        experts=256,
        active_experts=8,
        shared_experts=1,
        dense_layers=3,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=129_280,
        context_tokens=163_840,
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="deepseek_v32",
            reasoning="deepseek_v3",
            tokenizer_mode="deepseek_v32",
            source="https://recipes.vllm.ai/deepseek-ai/DeepSeek-V3.2",
            date="2026-04-01",
        ),
    ),
)

# Published as 1.6T; 1.572T is 49B and the experts that a token does not take.
# fp4: experts in FP4, the rest in FP8. All layers keep 128 tokens as they are; 30 keep one
# vector for 4 tokens and an indexer's key, 31 one for 128 (vLLM's blog on DeepSeek V4, 2026-04-24).
DEEPSEEK_V4_PRO = ModelSpec(
    name="deepseek-v4-pro",
    summary="DeepSeek-V4-Pro, 1.6T parameters, 49B active",
    aliases=("dsv4",),
    weights=(
        hub_weights("fp4", "deepseek-ai/DeepSeek-V4-Pro", license="mit"),
        hub_weights("nvfp4", "nvidia/DeepSeek-V4-Pro-NVFP4"),
        hub_weights("fp8", "sgl-project/DeepSeek-V4-Pro-FP8"),
    ),
    architecture=Architecture(
        parameters=1_572_000_000_000,
        active_parameters=49_000_000_000,
        layers=61,
        hidden=7168,
        heads=128,
        kv_heads=1,
        head_dim=512,
        sliding_window=128,
        experts=384,
        active_experts=6,
        shared_experts=1,
        expert_intermediate=3072,
        mtp_heads=1,
        vocabulary=129_280,
        context_tokens=1_048_576,
        cache=(
            CacheLayers(layers=61, values=512, window=128),
            CacheLayers(layers=30, values=512, stride=4),
            CacheLayers(layers=30, values=128, stride=4),
            CacheLayers(layers=31, values=512, stride=128),
        ),
    ),
    thresholds=(
        AccuracyThreshold(
            eval="gsm8k",
            minimum=0.91,
            source="InferenceX, utils/evals/thresholds.yaml@2289a2e",
            date="2026-11-30",
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="deepseek_v4",
            reasoning="deepseek_v4",
            tokenizer_mode="deepseek_v4",
            source="https://recipes.vllm.ai/deepseek-ai/DeepSeek-V4-Pro",
            date="2026-08-14",
        ),
    ),
)

DEEPSEEK_V4_FLASH = ModelSpec(
    name="deepseek-v4-flash",
    summary="DeepSeek-V4-Flash, 284B parameters, 13B active",
    weights=(
        hub_weights("fp4", "deepseek-ai/DeepSeek-V4-Flash", license="mit"),
        hub_weights("nvfp4", "nvidia/DeepSeek-V4-Flash-NVFP4"),
        hub_weights("fp8", "sgl-project/DeepSeek-V4-Flash-FP8"),
    ),
    architecture=Architecture(
        parameters=284_000_000_000,
        active_parameters=13_000_000_000,
        layers=43,
        hidden=4096,
        heads=64,
        kv_heads=1,
        head_dim=512,
        sliding_window=128,
        experts=256,
        active_experts=6,
        shared_experts=1,
        expert_intermediate=2048,
        mtp_heads=1,
        vocabulary=129_280,
        context_tokens=1_048_576,
        cache=(
            CacheLayers(layers=43, values=512, window=128),
            CacheLayers(layers=21, values=512, stride=4),
            CacheLayers(layers=21, values=128, stride=4),
            CacheLayers(layers=20, values=512, stride=128),
        ),
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="deepseek_v4",
            reasoning="deepseek_v4",
            tokenizer_mode="deepseek_v4",
            source="https://recipes.vllm.ai/deepseek-ai/DeepSeek-V4-Flash",
            date="2026-08-17",
        ),
    ),
)

MODELS = (DEEPSEEK_R1_0528, DEEPSEEK_V3_2, DEEPSEEK_V4_PRO, DEEPSEEK_V4_FLASH)
