"""Precision and shape from configs with the keys of the published one that is named beside each."""

from __future__ import annotations

from typing import Any

import pytest
from tokenbench_model_hf.config import architecture_of
from tokenbench_model_hf.precision import kv_precision_of, precision_of, quantization_of

from tokenbench.api import kv_bytes_per_token, kv_cache_bytes

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
INT4 = {"num_bits": 4, "type": "int", "group_size": 32}
FLOAT8 = {"num_bits": 8, "type": "float"}
PRECISIONS = {
    "Llama-3.1-70B": ({"torch_dtype": "bfloat16"}, {}, "bf16"),
    "Qwen3.5: dtype inside": ({"text_config": {"dtype": "bfloat16"}}, {}, "bf16"),
    "says nothing": ({}, {}, "unknown"),
    "DeepSeek-R1": ({"quantization_config": FP8, "torch_dtype": "bfloat16"}, {}, "fp8"),
    "DeepSeek-V4-Pro": ({"quantization_config": FP8, "expert_dtype": "fp4"}, {}, "fp4"),
    "DeepSeek-V4-Pro-NVFP4": (
        {"quantization_config": {**FP8, "moe_quant_algo": "NVFP4"}, "expert_dtype": "fp4"},
        {},
        "nvfp4",
    ),
    "gpt-oss-120b": ({"quantization_config": {"quant_method": "mxfp4"}}, {}, "mxfp4"),
    "Kimi-K2.5": (
        {
            "text_config": {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "format": "pack-quantized",
                    "config_groups": {"group_0": {"weights": INT4}},
                }
            }
        },
        {},
        "int4",
    ),
    "Kimi-K3": (
        {
            "text_config": {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "format": "mxfp4-pack-quantized",
                    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float"}}},
                }
            }
        },
        {},
        "mxfp4",
    ),
    "compressed-tensors fp8": (
        {
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {"group_0": {"weights": FLOAT8}},
            }
        },
        {},
        "fp8",
    ),
    "DeepSeek-V3.2-NVFP4: hf_quant_config.json": (
        {"torch_dtype": "bfloat16"},
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}},
        "nvfp4",
    ),
    "GLM-5.2-NVFP4": (
        {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}},
        {},
        "nvfp4",
    ),
    "MiniMax-M3-NVFP4: mixed": (
        {
            "quantization_config": {
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {
                    "a": {"quant_algo": "MXFP8"},
                    "b": {"quant_algo": "NVFP4"},
                    "c": {"quant_algo": "NVFP4"},
                },
            }
        },
        {},
        "nvfp4",
    ),
    "AutoAWQ": ({"quantization_config": {"quant_method": "awq", "bits": 4}}, {}, "int4-awq"),
    "GPTQ": ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, {}, "int8-gptq"),
    "AMD Quark": (
        {
            "quantization_config": {
                "quant_method": "quark",
                "global_quant_config": {"weight": {"dtype": "fp4", "scale_format": "e8m0"}},
            }
        },
        {},
        "mxfp4",
    ),
    "unknown method": ({"quantization_config": {"quant_method": "Odd One"}}, {}, "odd-one"),
}


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_precision_has_a_name(name: str) -> None:
    """From the quantisation config wherever it stands, else the data type."""
    config, quantised, expected = PRECISIONS[name]
    assert precision_of(config, quantised) == expected


def test_the_precision_of_a_calibrated_cache_is_read() -> None:
    """modelopt's two forms; None where a checkpoint says nothing."""
    inner: dict[str, Any] = {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    assert kv_precision_of(quantization_of({}, inner)) == "fp8"
    assert kv_precision_of({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}) == "fp8"
    assert kv_precision_of(FP8) is None


BASE = {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16}
SLIDING = {
    "Mistral: all layers": ({"sliding_window": 4096}, 24),
    "Qwen2: switched off": ({"sliding_window": 4096, "use_sliding_window": False}, None),
    "Qwen2: above a layer": (
        {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 20},
        4,
    ),
    "Gemma 3: all but every sixth": ({"sliding_window": 512, "sliding_window_pattern": 6}, 20),
    "gpt-oss: every second": (
        {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 12},
        12,
    ),
}


@pytest.mark.parametrize("name", SLIDING)
def test_sliding_windows(name: str) -> None:
    """How many layers have one; their cache stops growing."""
    config, expected = SLIDING[name]
    shape = architecture_of({**BASE, **config})
    assert shape.sliding_layers == expected
    per_layer = 2 * 16 * 64 * 2
    assert kv_bytes_per_token(shape) == (24 - (expected or 0)) * per_layer
    window = shape.sliding_window or 0
    kept = (24 - (expected or 0)) * 100_000 + (expected or 0) * window
    assert kv_cache_bytes(shape, 100_000) == kept * per_layer


def test_what_a_config_does_not_say_is_unknown() -> None:
    """No width of a head without heads; no cache where layers differ in their heads; no layer is
    counted twice.
    """
    assert kv_bytes_per_token(architecture_of({"model_type": "x"})) is None
    assert architecture_of({"num_hidden_layers": 2}).head_dim is None
    mixed = architecture_of({**BASE, "hybrid_layer_pattern": [0, 1] * 12})
    assert mixed.layers == 24
    assert kv_bytes_per_token(mixed) is None
    assert architecture_of({**BASE, "multi_query": True}).kv_heads == 1
    assert architecture_of(BASE).kv_heads == 16


def test_values_of_a_wrong_type_are_ignored() -> None:
    """A config is anybody's file."""
    shape = architecture_of(
        {
            "num_hidden_layers": "two",
            "hidden_size": 1.5,
            "num_attention_heads": True,
            "layer_types": "all",
            "text_config": None,
            "linear_attn_config": [],
            "compress_ratios": {"a": 1},
            "sparse_attention_config": "on",
        }
    )
    assert shape == architecture_of({"compress_ratios": 1})
