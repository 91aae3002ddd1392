"""Facts of the Llama models. Sources and what could not be read: README.md of this distribution.

Shapes: the models' config.json as copied in ai-dynamo/aiconfigurator@095f58a of 2026-08-21.
Repositories, counts of parameters and parsers: vLLM's recipes, vllm-project/recipes@8959cf6 of
2026-08-21. All read on 2026-11-30. The commits of the repositories could not be read.
"""

from __future__ import annotations

from tokenbench.api import Architecture, ModelSpec, hub_weights

# The config of Llama-3.1-70B, whose shape Llama 3.3 has; vLLM's recipe says the same context.
# Parameters and the size in bf16 follow from the shape: 141,107,412,992 bytes is also `total_size`
# in the index of Llama-3.1-70B-Instruct.
LLAMA_3_3_70B = ModelSpec(
    name="llama-3.3-70b",
    summary="Llama-3.3-70B-Instruct, dense",
    weights=(
        hub_weights("bf16", "meta-llama/Llama-3.3-70B-Instruct", size_bytes=141_107_412_992),
        hub_weights("fp8", "nvidia/Llama-3.3-70B-Instruct-FP8"),
        hub_weights("nvfp4", "nvidia/Llama-3.3-70B-Instruct-NVFP4"),
    ),
    architecture=Architecture(
        parameters=70_553_706_496,
        active_parameters=70_553_706_496,
        layers=80,
        hidden=8192,
        heads=64,
        kv_heads=8,
        head_dim=128,
        intermediate=28_672,
        vocabulary=128_256,
        context_tokens=131_072,
    ),
)

MODELS = (LLAMA_3_3_70B,)
