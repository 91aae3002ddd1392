"""Models with inconsistent facts, invalid sources, or secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    AccuracyThreshold,
    Architecture,
    FrozenMap,
    ModelSpec,
    Parsers,
    Recipe,
    Tokenizer,
    Weights,
)
from tokenbench_testing.kit import Subject

_WEIGHTS = Weights(
    precision="fp8",
    format="safetensors",
    source="hub:acme/big-model",
    revision="0123abcd",
    size_bytes=1 << 30,
    sha256=hashlib.sha256(b"weights").hexdigest(),
)
_SHAPE = Architecture(
    parameters=100_000_000_000,
    active_parameters=10_000_000_000,
    heads=64,
    kv_heads=8,
    experts=128,
    active_experts=8,
    vocabulary=256,
)
_RECIPE = Recipe(
    engine="sample",
    precision="fp8",
    flags=FrozenMap({"--max-token-count": 8192, "--cuda-graph": True}),
    environment=FrozenMap({"HF_TOKEN": "{secret:HF_TOKEN}", "TOKENIZERS_PARALLELISM": "false"}),
    source="the vendor's page",
    date="2026-11",
)
_THRESHOLD = AccuracyThreshold(
    eval="sample", minimum=0.8, precision="fp8", source="the model's card", date="2026-11-21"
)
_SPEC = ModelSpec(
    name="big-model",
    summary="a model",
    weights=(_WEIGHTS, attrs.evolve(_WEIGHTS, precision="bf16")),
    architecture=_SHAPE,
    recipes=(_RECIPE, attrs.evolve(_RECIPE, precision=None, flags=FrozenMap({"--tp": 8}))),
    thresholds=(_THRESHOLD,),
)
_GOOD = Subject(kind="model", name="big-model", module="bad_plugins.model", spec=_SPEC)


class Bytes(Tokenizer):
    """Good: each byte is a token."""

    vocab_size = 256
    special_ids = frozenset({255})

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


class Tidy(Bytes):
    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(super().decode(ids).split())


class Eager(Bytes):
    special_ids = frozenset({ord("T")})


class Small(Bytes):
    vocab_size = 250


class Padded(Bytes):
    vocab_size = 300


def _with(**changes: Any) -> Subject:
    return attrs.evolve(_GOOD, spec=attrs.evolve(_SPEC, **changes))


def _weights(**changes: Any) -> Subject:
    return _with(weights=(_WEIGHTS, attrs.evolve(_WEIGHTS, **{"precision": "bf16", **changes})))


def _shape(**changes: Any) -> Subject:
    return _with(architecture=attrs.evolve(_SHAPE, **changes))


def _recipe(**changes: Any) -> Subject:
    return _with(recipes=(attrs.evolve(_RECIPE, **changes),))


def _threshold(**changes: Any) -> Subject:
    return _with(thresholds=(attrs.evolve(_THRESHOLD, **changes),))


def _local(tokenizer: Callable[[str], Tokenizer], **changes: Any) -> Subject:
    """A model whose weights are a local file: this one."""
    known = {"source": f"file:{__file__}", "size_bytes": None, "sha256": None, **changes}
    weights = attrs.evolve(_WEIGHTS, **known)
    return _with(weights=(weights,), tokenizer=tokenizer)


_PARSERS = Parsers(engine="sample", tool="json", source="a page", date="2026-11")

GOOD = [_GOOD]
BAD = {
    "model-has-weights": _with(weights=()),
    "weights-have-a-known-source": _weights(source="s3://acme/big-model"),
    "weights-have-a-revision": _weights(revision=""),
    "weights-are-distinct": _weights(precision="fp8"),
    "weights-have-plain-labels": _weights(format="SafeTensors"),
    "weights-digest-is-sha256": _weights(sha256="sha256:0123"),
    "weights-size-is-positive": _weights(size_bytes=0),
    "architecture-counts-are-positive": _shape(experts=0, active_experts=None),
    "active-parameters-are-within-the-total": _shape(active_parameters=200_000_000_000),
    "active-experts-are-within-the-total": _shape(active_experts=256),
    "kv-heads-divide-heads": _shape(kv_heads=7),
    "kinds-of-layers-are-within-the-total": _shape(layers=8, sliding_layers=6, linear_layers=4),
    "extra-weights-have-another-purpose": _with(extra_weights=FrozenMap({"small": _WEIGHTS})),
    "parsers-are-distinct": _with(parsers=(_PARSERS, _PARSERS)),
    "facts-have-source-and-date": (
        _with(parsers=(attrs.evolve(_PARSERS, date="last year"),)),
        _recipe(source=""),
        _threshold(date="21.11.2026"),
    ),
    "recipes-have-plain-settings": _recipe(flags=FrozenMap({"--tp 8": True})),
    "recipes-do-not-contradict": _with(
        recipes=(_RECIPE, attrs.evolve(_RECIPE, flags=FrozenMap({"--cuda-graph": False})))
    ),
    "precisions-exist": (_recipe(precision="fp4"), _threshold(precision="fp4")),
    "recipes-hold-no-secret": (
        _recipe(environment=FrozenMap({"HF_TOKEN": "not-to-be-seen"})),
        _recipe(flags=FrozenMap({"--api-key": "{secret:KEY}"})),
    ),
    "thresholds-are-fractions": _threshold(minimum=80.0),
    "thresholds-are-distinct": _with(
        thresholds=(_THRESHOLD, attrs.evolve(_THRESHOLD, minimum=0.7))
    ),
    "model-is-serializable": _weights(license=Path("LICENSE")),
}
ALSO: dict[str, set[str]] = {}
REAL = {
    "weights-match-the-spec": _local(Bytes, sha256="0" * 64),
    "tokenizer-round-trips-text": _local(Tidy),
    "tokenizer-adds-no-special-tokens": _local(Eager),
    "token-ids-are-within-the-vocabulary": _local(Small),
    "vocabulary-matches-the-architecture": _local(Padded),
}
"""Bad at level 4."""
