"""The precision of weights, from a quantisation config or the data type that a config names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .config import text_part

_DTYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "BF16": "bf16",
    "F16": "fp16",
    "F32": "fp32",
}
UNKNOWN = "unknown"


def precision_of(config: Mapping[str, Any], quantised: Mapping[str, Any]) -> str:
    """The name of the precision of most weights; ``unknown`` if the files do not say.

    Args:
        quantised: the content of ``hf_quant_config.json`` (modelopt), empty if there is none.
    """
    found = quantization_of(config, quantised)
    if found:
        return _quantised(found, config)
    return (
        dtype_label(config.get("torch_dtype") or config.get("dtype"))
        or dtype_label(text_part(config).get("torch_dtype") or text_part(config).get("dtype"))
        or UNKNOWN
    )


def dtype_label(dtype: object) -> str | None:
    """The label of a data type of torch (``bfloat16``) or of safetensors (``BF16``)."""
    return _DTYPES.get(str(dtype).removeprefix("torch."))


def quantization_of(config: Mapping[str, Any], quantised: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantisation config, wherever it stands; empty if there is none."""
    for found in (
        config.get("quantization_config"),
        text_part(config).get("quantization_config"),
        config.get("compression_config"),
    ):
        if isinstance(found, Mapping) and found:
            return found
    inner = quantised.get("quantization")
    return {"quant_method": "modelopt", **inner} if isinstance(inner, Mapping) else {}


def kv_precision_of(quantization: Mapping[str, Any]) -> str | None:
    """The precision of the KV cache that a checkpoint was calibrated for."""
    stated = quantization.get("kv_cache_quant_algo")
    if isinstance(stated, str):
        return stated.lower()
    scheme = quantization.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8" if scheme.get("type") == "float" else "int8"
    return None


def _quantised(found: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    method = str(found.get("quant_method", "")).lower()
    if method == "fp8" and text_part(config).get("expert_dtype") == "fp4":
        # DeepSeek V4: experts in FP4, the rest in FP8; modelopt's version names NVFP4 experts.
        return str(found.get("moe_quant_algo") or "fp4").lower()
    if method in ("awq", "gptq", "gptq_marlin", "awq_marlin"):
        return f"int{found.get('bits', 4)}-{method.partition('_')[0]}"
    if method == "bitsandbytes":
        return "int4-bnb" if found.get("load_in_4bit") else "int8-bnb"
    if method.startswith("modelopt") or "quant_algo" in found:
        return _modelopt(found)
    if method == "compressed-tensors":
        return _compressed(found)
    if method == "quark":
        return _quark(found)
    label = re.sub(r"[^a-z0-9._-]+", "-", method).strip("-._")
    return label or UNKNOWN


def _modelopt(found: Mapping[str, Any]) -> str:
    """``NVFP4``, ``FP8``, ``FP8_PB_WO``, ``W4A8_AWQ``; of mixed precision that of most layers."""
    name = str(found.get("quant_algo", ""))
    if name == "MIXED_PRECISION":
        layers = found.get("quantized_layers")
        kinds = [
            str(layer.get("quant_algo"))
            for layer in (layers.values() if isinstance(layers, Mapping) else ())
            if isinstance(layer, Mapping)
        ]
        name = max(sorted(set(kinds)), key=kinds.count) if kinds else ""
    if name.startswith("FP8"):
        return "fp8"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or UNKNOWN


def _compressed(found: Mapping[str, Any]) -> str:
    """By the weights of the first group; with 8-bit activations, w8a8 in the names of vLLM."""
    groups = found.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    first = first if isinstance(first, Mapping) else {}
    for text in (found.get("format"), first.get("format")):
        for known in ("nvfp4", "mxfp4", "mxfp8"):
            if str(text).startswith(known):
                return known
    weights = first.get("weights")
    if not isinstance(weights, Mapping) or not isinstance(weights.get("num_bits"), int):
        return UNKNOWN
    return f"{'fp' if weights.get('type') == 'float' else 'int'}{weights['num_bits']}"


def _quark(found: Mapping[str, Any]) -> str:
    """AMD Quark: fp4 with scales in e8m0 for 32 values is MXFP4."""
    weight: Any = found.get("global_quant_config")
    weight = weight.get("weight") if isinstance(weight, Mapping) else None
    weight = weight[0] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, Mapping):
        return UNKNOWN
    dtype = str(weight.get("dtype", ""))
    if dtype == "fp4" and weight.get("scale_format") == "e8m0":
        return "mxfp4"
    return dtype.partition("_")[0] or UNKNOWN
