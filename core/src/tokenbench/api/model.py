"""What is known of a model: weights, architecture, tokenizer, recipes, thresholds. Data first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import attrs

from .frozen import FrozenMap
from .launch import FlagValue


@attrs.frozen(kw_only=True)
class Weights:
    """One set of weights.

    `source` is one of ``package:DIST/PATH`` (a file inside an installed distribution),
    ``file:PATH`` or ``hub:ORG/NAME`` (the engine fetches it). `size_bytes` and `sha256` let core
    tell missing, truncated and altered files apart before an engine is started.
    """

    precision: str
    format: str
    source: str
    revision: str
    size_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None


@attrs.frozen(kw_only=True)
class Architecture:
    """Facts of a model's shape; None where unknown. Counts, not bytes, unless named so."""

    parameters: int | None = None
    active_parameters: int | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    active_experts: int | None = None
    mtp_heads: int | None = None
    vocabulary: int | None = None
    context_tokens: int | None = None
    kv_bytes_per_token: int | None = None


@attrs.frozen(kw_only=True)
class Recipe:
    """Settings that make the model fast on an engine and a chip. None matches any.

    `flags` and `environment` apply to every process of `role` (None: all roles).
    """

    engine: str
    hardware: str | None = None
    precision: str | None = None
    role: str | None = None
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    source: str
    date: str


@attrs.frozen(kw_only=True)
class AccuracyThreshold:
    """The score that this model must reach in an eval, with where that number comes from.

    `variant` names the eval's task variant and version that the figure holds for (None: any).
    """

    eval: str
    minimum: float
    source: str
    date: str
    variant: str | None = None
    precision: str | None = None


class Tokenizer(ABC):
    """Text to token ids and back, as the server does it (without special tokens added)."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids, special ones included."""

    @property
    @abstractmethod
    def special_ids(self) -> frozenset[int]:
        """Ids that are not plain text (control and added tokens)."""

    @abstractmethod
    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; bytes that are no valid UTF-8 become U+FFFD."""


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A model, as data. `tokenizer` gets the local path of the chosen weights, or None for the
    server's own; it is called once, when a workload or a count needs it.
    """

    name: str
    summary: str
    weights: tuple[Weights, ...]
    architecture: Architecture = Architecture()
    recipes: tuple[Recipe, ...] = ()
    thresholds: tuple[AccuracyThreshold, ...] = ()
    tokenizer: Callable[[str], Tokenizer] | None = None
