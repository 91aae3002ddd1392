"""Models as data: weights, architecture, recipes, thresholds, and the tokenizer's interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import attrs

from .frozen import FrozenMap
from .launch import FlagValue


@attrs.frozen(kw_only=True)
class Weights:
    """One set of weights.

    `precision` is the name that `--weights` and recipes use; `format` is one of the engine's
    `weight_formats`. `source`: ``package:DIST/PATH`` (a file of an installed distribution),
    ``file:PATH`` or ``hub:ORG/NAME`` (the engine downloads it). With `size_bytes` and `sha256`,
    core detects missing, truncated and modified files before it starts an engine.
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
    """The model's shape; None for unknown values. Counts, except for fields named otherwise."""

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
    """Recommended settings for the model on an engine and a chip. `hardware` is the name of a
    hardware plugin or of one of its SKUs, `precision` that of the weights; None matches any. A
    recipe that names them replaces one that does not.

    `flags` and `environment` apply to every process of `role` (None: all roles). `source` and
    `date` say who recommends them.
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
    """The minimum score of this model in an eval, with the source of that number.

    `variant` names the eval's task variant and version that the number is valid for (None: any).
    """

    eval: str
    minimum: float
    source: str
    date: str
    variant: str | None = None
    precision: str | None = None


class Tokenizer(ABC):
    """Converts text to token ids and back like the server does, without adding special tokens."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids, including special ones."""

    @property
    @abstractmethod
    def special_ids(self) -> frozenset[int]:
        """Ids that are not plain text (control and added tokens)."""

    @abstractmethod
    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; bytes that are not valid UTF-8 become U+FFFD."""


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A model, as data. `tokenizer` takes the local path of the selected weights (empty for a model
    without weights) and is called once, when first needed; None: only the server's tokenizer is
    available.
    """

    name: str
    summary: str
    weights: tuple[Weights, ...]
    architecture: Architecture = Architecture()
    recipes: tuple[Recipe, ...] = ()
    thresholds: tuple[AccuracyThreshold, ...] = ()
    tokenizer: Callable[[str], Tokenizer] | None = None
