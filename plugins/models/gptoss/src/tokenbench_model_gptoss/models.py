"""Facts of the gpt-oss models. Sources and what could not be read: README.md of this distribution.

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

GPT_OSS_120B = ModelSpec(
    name="gpt-oss-120b",
    summary="gpt-oss-120b, 117B parameters, 5.1B active",
    aliases=("gptoss",),
    weights=(
        hub_weights(
            "mxfp4", "openai/gpt-oss-120b", size_bytes=65_248_815_744, license="apache-2.0"
        ),
    ),
    architecture=Architecture(
        parameters=117_000_000_000,
        active_parameters=5_100_000_000,
        layers=36,
        hidden=2880,
        heads=64,
        kv_heads=8,
        head_dim=64,
        sliding_layers=18,
        sliding_window=128,
        experts=128,
        active_experts=4,
        expert_intermediate=2880,
        vocabulary=201_088,
        context_tokens=131_072,
    ),
    extra_weights=FrozenMap(
        {"eagle": hub_weights("unknown", "nvidia/gpt-oss-120b-Eagle3-v3", purpose="eagle")}
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
            tool="openai",
            source="https://recipes.vllm.ai/openai/gpt-oss-120b",
            date="2026-05-10",
        ),
    ),
)

GPT_OSS_20B = ModelSpec(
    name="gpt-oss-20b",
    summary="gpt-oss-20b, 21B parameters, 3.6B active",
    weights=(hub_weights("mxfp4", "openai/gpt-oss-20b"),),
    architecture=Architecture(
        parameters=21_000_000_000,
        active_parameters=3_600_000_000,
        layers=24,
        hidden=2880,
        heads=64,
        kv_heads=8,
        head_dim=64,
        sliding_layers=12,
        sliding_window=128,
        experts=32,
        active_experts=4,
        expert_intermediate=2880,
        vocabulary=201_088,
        context_tokens=131_072,
    ),
    parsers=(
        Parsers(
            engine="vllm",
            tool="openai",
            source="https://recipes.vllm.ai/openai/gpt-oss-20b",
            date="2026-05-08",
        ),
    ),
)

MODELS = (GPT_OSS_120B, GPT_OSS_20B)
