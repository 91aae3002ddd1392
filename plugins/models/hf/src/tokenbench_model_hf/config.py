"""A model's shape from its config.json. Unknown values are None.

The keys are those that published models use; they were read in 2026-11 in the configurations of
Llama, Mistral, Qwen 2 to 3.5, Gemma, gpt-oss, DeepSeek V3 to V4, Kimi K2 and K3, GLM-5, MiniMax M2
and M3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenbench.api import Architecture, CacheLayers

_TEXT_PARTS = ("text_config", "llm_config", "language_config")
# Keys of layers with different key-value heads, whose cache is not computed here.
_MIXED_LAYERS = ("hybrid_layer_pattern", "hybrid_override_pattern", "layers_block_type")


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model."""
    parts = (config[name] for name in _TEXT_PARTS if isinstance(config.get(name), Mapping))
    return next(parts, config)


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The shape that a config.json describes, without parameter counts."""
    text = text_part(config)
    layers = _count(text, "num_hidden_layers", "n_layer", "num_layers")
    heads = _count(text, "num_attention_heads", "n_head", "num_heads")
    latent = _count(text, "kv_lora_rank")
    mixed = any(text.get(key) for key in _MIXED_LAYERS)
    sliding, window = _sliding(text, layers)
    linear = _linear_layers(text, layers)
    index, index_layers = _indexer(text)
    return Architecture(
        layers=layers,
        hidden=_count(text, "hidden_size", "n_embd", "d_model"),
        heads=heads,
        kv_heads=None if mixed else _kv_heads(text, heads),
        head_dim=_head_dim(text, heads, latent),
        value_head_dim=_count(text, "v_head_dim"),
        latent_dim=latent,
        rope_dim=None if latent is None else _count(text, "qk_rope_head_dim"),
        index_dim=index,
        index_layers=index_layers,
        sliding_layers=sliding,
        sliding_window=window,
        linear_layers=linear,
        state_bytes=_state_bytes(text, linear),
        mtp_heads=_count(
            text, "num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"
        ),
        vocabulary=_count(text, "vocab_size"),
        context_tokens=_count(text, "max_position_embeddings", "n_positions", "max_seq_len"),
        cache=_compressed_cache(text, layers),
        **_experts(text, layers),
    )


def _count(config: Mapping[str, Any], *keys: str) -> int | None:
    """The first of these keys that has a positive whole number."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _list(config: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = config.get(key)
    return value if isinstance(value, list) else ()


def _kv_heads(text: Mapping[str, Any], heads: int | None) -> int | None:
    if text.get("multi_query") is True:
        return 1
    found = _count(text, "num_key_value_heads", "num_kv_heads", "multi_query_group_num")
    return found if found is not None else heads


def _head_dim(text: Mapping[str, Any], heads: int | None, latent: int | None) -> int | None:
    if latent is not None:
        nope, rope = _count(text, "qk_nope_head_dim"), _count(text, "qk_rope_head_dim")
        return None if nope is None else nope + (rope or 0)
    stated, hidden = _count(text, "head_dim"), _count(text, "hidden_size", "n_embd", "d_model")
    if stated is not None or hidden is None or heads is None:
        return stated
    return hidden // heads


def _sliding(text: Mapping[str, Any], layers: int | None) -> tuple[int | None, int | None]:
    """Number of layers with a sliding window, and its size."""
    window = _count(text, "sliding_window")
    if window is None or layers is None or text.get("use_sliding_window") is False:
        return None, None
    if "compress_ratios" in text:  # Every layer has a window, beside a compressed cache.
        return None, window
    if types := _list(text, "layer_types"):
        count = sum(kind == "sliding_attention" for kind in types)
    elif (every := _count(text, "sliding_window_pattern")) is not None:
        count = layers - layers // every  # Every n-th layer attends to everything.
    elif "max_window_layers" in text:
        count = layers - min(layers, _count(text, "max_window_layers") or 0)
    else:
        count = layers
    return (count, window) if count else (None, None)


def _linear_layers(text: Mapping[str, Any], layers: int | None) -> int | None:
    if types := _list(text, "layer_types"):
        return sum(kind == "linear_attention" for kind in types) or None
    nested = text.get("linear_attn_config")
    if isinstance(nested, Mapping):
        return len(_list(nested, "kda_layers")) or None
    every = _count(text, "full_attention_interval")
    if layers is None or every is None or "linear_num_value_heads" not in text:
        return None
    return layers - layers // every


def _state_bytes(text: Mapping[str, Any], layers: int | None) -> int | None:
    """What linear attention keeps per sequence: a matrix per head, and the last inputs of a short
    convolution. Shapes as in vLLM's MambaStateShapeCalculator (read 2026-11); the convolution's
    inputs have 2 bytes.
    """
    nested = text.get("linear_attn_config")
    if isinstance(nested, Mapping):  # Kimi Delta Attention: its matrices have 4 bytes in vLLM.
        heads, dim = _count(nested, "num_heads"), _count(nested, "head_dim")
        kernel, each = _count(nested, "short_conv_kernel_size"), 4
        if heads is None or dim is None:
            return None
        matrix, inputs = heads * dim * dim, 3 * heads * dim
    else:
        key_heads, values = (_count(text, f"linear_num_{name}_heads") for name in ("key", "value"))
        key_dim, value_dim = (_count(text, f"linear_{name}_head_dim") for name in ("key", "value"))
        kernel = _count(text, "linear_conv_kernel_dim")
        each = {"float32": 4, "bfloat16": 2}.get(str(text.get("mamba_ssm_dtype")), 0)
        if key_heads is None or values is None or key_dim is None or value_dim is None:
            return None
        matrix = values * key_dim * value_dim
        inputs = 2 * key_heads * key_dim + values * value_dim
    if layers is None or kernel is None or not each:
        return None
    return layers * (matrix * each + inputs * (kernel - 1) * 2)


def _indexer(text: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Width of the key of a sparse attention's indexer, and the number of layers that have one
    (None: all).
    """
    nested = text.get("sparse_attention_config")
    if isinstance(nested, Mapping) and nested.get("use_sparse_attention"):
        found = sum(bool(one) for one in _list(nested, "sparse_attention_freq")) or None
        return _count(nested, "sparse_index_dim"), found
    if "compress_ratios" in text:
        return None, None
    return _count(text, "index_head_dim"), None


def _compressed_cache(text: Mapping[str, Any], layers: int | None) -> tuple[CacheLayers, ...]:
    """DeepSeek V4: each layer keeps one vector, key and value in one, for as many tokens as its
    ratio says, and all of them of the last window; layers of ratio 4 have an indexer, whose keys
    are compressed alike (vLLM's blog on DeepSeek V4, 2026-04-24).
    """
    ratios = _list(text, "compress_ratios")
    dim, window = _count(text, "head_dim"), _count(text, "sliding_window")
    if layers is None or dim is None or window is None or len(ratios) < layers:
        return ()
    own = [ratio for ratio in ratios[:layers] if isinstance(ratio, int)]  # The rest: MTP heads.
    found = [CacheLayers(layers=layers, values=dim, window=window)]
    for ratio in sorted({ratio for ratio in own if ratio > 0}):
        count = own.count(ratio)
        found.append(CacheLayers(layers=count, values=dim, stride=ratio))
        if ratio == 4 and (index := _count(text, "index_head_dim")) is not None:
            found.append(CacheLayers(layers=count, values=index, stride=ratio))
    return tuple(found)


def _experts(text: Mapping[str, Any], layers: int | None) -> dict[str, int | None]:
    """The fields on experts and on dense MLPs."""
    width = _count(text, "intermediate_size", "n_inner", "ffn_dim")
    experts = _count(
        text, "n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"
    )
    if experts is None:
        return {"intermediate": width}
    active = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k")
    shared = _count(text, "n_shared_experts", "num_shared_experts")
    width_of_shared = ("shared_expert_intermediate_size", "shared_intermediate_size")
    if shared is None and _count(text, *width_of_shared):
        shared = 1
    dense = _dense_layers(text)
    own = _count(text, "moe_intermediate_size")
    return {
        "experts": experts,
        "active_experts": _count(text, *active),
        "shared_experts": shared,
        "dense_layers": dense,
        "expert_intermediate": own or width,
        "expert_hidden": _count(text, "routed_expert_hidden_size"),
        "intermediate": (_count(text, "dense_intermediate_size") or width) if dense else None,
    }


def _dense_layers(text: Mapping[str, Any]) -> int | None:
    stated = _count(text, "first_k_dense_replace")
    if stated is not None:
        return stated
    if types := _list(text, "mlp_layer_types"):
        return sum(kind == "dense" for kind in types) or None
    if frequency := _list(text, "moe_layer_freq"):
        return sum(not one for one in frequency) or None
    return len(_list(text, "mlp_only_layers")) or None
