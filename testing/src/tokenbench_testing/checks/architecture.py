"""Models: a shape whose parts fit together."""

from __future__ import annotations

import attrs

from tokenbench.api import Architecture, CacheLayers
from tokenbench_testing.kit import Subject, check, fail

from .model import model_of


@check(2, "model")
def architecture_counts_are_positive(subject: Subject) -> None:
    """Unknown values of a model's shape are None, never 0.

    To fix: omit the field (a dense model has experts=None).
    """
    shape = model_of(subject).architecture
    parts: tuple[Architecture | CacheLayers, ...] = (shape, *shape.cache)
    for part in parts:
        for name, value in attrs.asdict(part, recurse=False).items():
            if isinstance(value, int) and value <= 0:
                fail(f"{name} is {value}")


@check(2, "model")
def kinds_of_layers_are_within_the_total(subject: Subject) -> None:
    """Sliding and linear layers together, and dense layers, are not more than `layers`; no group of
    `cache` has more layers than the model.

    To fix: `layers` counts all layers, without MTP heads.
    """
    shape = model_of(subject).architecture
    special = (shape.sliding_layers or 0) + (shape.linear_layers or 0)
    _fail_if_more(special, shape.layers, "sliding and linear layers")
    for name in ("dense_layers", "index_layers"):
        _fail_if_more(getattr(shape, name), shape.layers, name.replace("_", " "))
    for group in shape.cache:
        _fail_if_more(group.layers, shape.layers, "layers of one cache")


@check(2, "model")
def active_parameters_are_within_the_total(subject: Subject) -> None:
    """`active_parameters` is not larger than `parameters`.

    To fix: both are counts, not billions.
    """
    shape = model_of(subject).architecture
    _fail_if_more(shape.active_parameters, shape.parameters, "active parameters")


@check(2, "model")
def active_experts_are_within_the_total(subject: Subject) -> None:
    """`active_experts` is not larger than `experts`.

    To fix: `experts` counts those of one layer.
    """
    shape = model_of(subject).architecture
    _fail_if_more(shape.active_experts, shape.experts, "active experts")


@check(2, "model")
def kv_heads_divide_heads(subject: Subject) -> None:
    """`kv_heads` divides `heads`.

    To fix: compare num_attention_heads and num_key_value_heads in the model's config.
    """
    shape = model_of(subject).architecture
    heads, kv_heads = shape.heads or 0, shape.kv_heads or 0
    if heads > 0 and kv_heads > 0 and heads % kv_heads:
        fail(f"{shape.kv_heads} key-value heads for {shape.heads} heads")


def _fail_if_more(part: int | None, total: int | None, what: str) -> None:
    if part is not None and total is not None and part > total > 0:
        fail(f"{part} {what} of {total}")
