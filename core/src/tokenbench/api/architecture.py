"""A model's shape, and the memory that follows from it: weights, and the cache of a sequence.

Keys of a Hugging Face ``config.json`` are named where a field has one.
"""

from __future__ import annotations

import attrs

from .frozen import FrozenMap

BYTES_PER_PARAMETER: FrozenMap[float] = FrozenMap(
    {
        "fp32": 4.0,
        "bf16": 2.0,
        "fp16": 2.0,
        "fp8": 1.0,
        "int8": 1.0,
        # One shared 8-bit scale for 32 values (OCP Microscaling Formats 1.0, 2023-09).
        "mxfp8": 1 + 1 / 32,
        "mxfp4": 0.5 + 1 / 32,
        # One 8-bit scale for 16 values (NVIDIA's blog on NVFP4, 2025-06-24).
        "nvfp4": 0.5 + 1 / 16,
        "fp4": 0.5 + 1 / 32,
        # A 16-bit scale and, where there is one, a zero point for 128 values: the common group.
        "int4": 0.5 + 2 / 128,
        "int4-awq": 0.5 + 2.5 / 128,
        "int4-gptq": 0.5 + 2.5 / 128,
    }
)
"""Bytes of one quantised parameter with its share of the scales, by precision."""


@attrs.frozen(kw_only=True)
class CacheLayers:
    """`layers` layers with the same cache: each keeps `values` numbers per `stride` tokens, for the
    last `window` tokens (None: for all).
    """

    layers: int
    values: int
    stride: int = 1
    window: int | None = None


@attrs.frozen(kw_only=True)
class Architecture:
    """A model's shape. None: unknown, or the model has no such part. Fields are counts unless their
    name has a unit; a width counts numbers.

    `heads`, `kv_heads`: of layers with softmax attention. `head_dim`: width of a head's key, and of
    its value unless `value_head_dim` says otherwise. `latent_dim`, `rope_dim`: multi-head latent
    attention (MLA) caches one vector of the first and one of the second width per token and layer
    (`kv_lora_rank`, `qk_rope_head_dim`). `index_dim`: width of the additional key that the indexer
    of sparse attention caches, in `index_layers` layers (None: in all with full attention).

    `sliding_layers`: layers that attend to the last `sliding_window` tokens only. `linear_layers`:
    layers with linear attention or a state-space model, which cache nothing per token;
    `state_bytes`: the size of their state per sequence, which does not depend on its length.

    `intermediate`: width of a dense MLP. `experts`: routed experts of one layer. A token uses
    `active_experts` of them and all `shared_experts`. The first `dense_layers` layers have no
    experts. `expert_intermediate`: width of one expert; `expert_hidden`: width of its input, if not
    `hidden`. `mtp_heads`: layers that predict further tokens (multi-token prediction).

    `parameters`: without MTP heads; `active_parameters`: those that one token uses.

    `cache`: what the layers cache, if it does not follow from the fields above. They give
    ``latent_dim + rope_dim`` numbers (MLA) per token and layer, or ``kv_heads x (head_dim +
    value_head_dim)``; plus `index_dim` for an indexer.
    """

    parameters: int | None = None
    active_parameters: int | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    value_head_dim: int | None = None
    latent_dim: int | None = None
    rope_dim: int | None = None
    index_dim: int | None = None
    index_layers: int | None = None
    sliding_layers: int | None = None
    sliding_window: int | None = None
    linear_layers: int | None = None
    state_bytes: int | None = None
    intermediate: int | None = None
    experts: int | None = None
    active_experts: int | None = None
    shared_experts: int | None = None
    dense_layers: int | None = None
    expert_intermediate: int | None = None
    expert_hidden: int | None = None
    mtp_heads: int | None = None
    vocabulary: int | None = None
    context_tokens: int | None = None
    cache: tuple[CacheLayers, ...] = ()


def _cache_layers(shape: Architecture) -> tuple[CacheLayers, ...] | None:
    """What a model's layers cache, without MTP heads; None if the shape is incomplete."""
    if shape.cache:
        return shape.cache
    values = _values_per_token(shape)
    if shape.layers is None or values is None:
        return None
    sliding, linear = shape.sliding_layers or 0, shape.linear_layers or 0
    if sliding and shape.sliding_window is None:
        return None
    full = shape.layers - sliding - linear
    found = [
        CacheLayers(layers=full, values=values),
        CacheLayers(layers=sliding, values=values, window=shape.sliding_window),
    ]
    if shape.index_dim is not None:
        indexed = full if shape.index_layers is None else shape.index_layers
        found.append(CacheLayers(layers=indexed, values=shape.index_dim))
    return tuple(group for group in found if group.layers)


def _values_per_token(shape: Architecture) -> int | None:
    if shape.latent_dim is not None:
        return shape.latent_dim + (shape.rope_dim or 0)
    if shape.kv_heads is None or shape.head_dim is None:
        return None
    return shape.kv_heads * (shape.head_dim + (shape.value_head_dim or shape.head_dim))


def kv_bytes_per_token(shape: Architecture, *, bytes_per_value: float = 2.0) -> float | None:
    """Bytes that each further token adds to a sequence's cache, over all layers, once the sliding
    windows are full; None if unknown.

    Args:
        bytes_per_value: 2 for a cache in bf16 or fp16, 1 for fp8. Scales are not counted.
    """
    groups = _cache_layers(shape)
    if groups is None:
        return None
    growing = (group for group in groups if group.window is None)
    return sum(group.layers * group.values / group.stride for group in growing) * bytes_per_value


def kv_cache_bytes(
    shape: Architecture, context_tokens: int, *, bytes_per_value: float = 2.0
) -> int | None:
    """Bytes of the cache of one sequence of `context_tokens` tokens, all layers together; None if
    unknown. `state_bytes` comes on top.

    Args:
        bytes_per_value: as for :func:`kv_bytes_per_token`.
    """
    groups = _cache_layers(shape)
    if groups is None:
        return None
    numbers = 0
    for group in groups:
        kept = context_tokens if group.window is None else min(context_tokens, group.window)
        numbers += group.layers * group.values * (kept // group.stride)
    return round(numbers * bytes_per_value)


def expert_parameters(shape: Architecture) -> int | None:
    """Parameters of all routed experts: three matrices ``hidden x expert_intermediate`` each. None
    for a dense model and for an unknown shape.
    """
    hidden = shape.expert_hidden or shape.hidden
    experts, layers, width = shape.experts, shape.layers, shape.expert_intermediate
    if experts is None or layers is None or hidden is None or width is None:
        return None
    return 3 * hidden * width * experts * (layers - (shape.dense_layers or 0))
