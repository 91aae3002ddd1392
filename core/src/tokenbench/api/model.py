"""Models as data: weights, architecture, recipes, thresholds, and the tokenizer's interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .architecture import BYTES_PER_PARAMETER, Architecture, expert_parameters
from .context import PluginContext
from .flags import FlagValue
from .frozen import FrozenMap
from .options import NoOptions

PURPOSES = ("main", "draft", "eagle", "mtp", "adapter")


@attrs.frozen(kw_only=True)
class Weights:
    """One set of weights.

    `precision` is the name that `--weights` and recipes use; `format` is one of the engine's
    `weight_formats`. `source`: ``package:DIST/PATH`` (a file of an installed distribution),
    ``file:PATH`` (a file or a folder) or ``hub:ORG/NAME`` (the engine downloads it). With
    `size_bytes` and `sha256`, core detects missing, truncated and modified files before it starts
    an engine. `size_bytes` of a folder or a repository is that of its weight files together.
    `purpose`: ``main`` (the model itself), ``draft`` (a small model that drafts), ``eagle`` (an
    EAGLE head), ``mtp`` (a separate MTP head) or ``adapter`` (a LoRA adapter).
    """

    precision: str
    format: str
    source: str
    revision: str
    size_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None
    purpose: str = attrs.field(default="main", validator=attrs.validators.in_(PURPOSES))

    @property
    def on_hub(self) -> bool:
        """Whether the engine downloads them."""
        return self.source.startswith("hub:")

    @property
    def hub_revision(self) -> str | None:
        """The revision to download; None for files that are there."""
        return self.revision if self.on_hub else None


def hub_weights(
    precision: str,
    repository: str,
    *,
    revision: str = "main",
    size_bytes: int | None = None,
    license: str | None = None,
    purpose: str = "main",
) -> Weights:
    """Weights in a repository ORG/NAME of the Hugging Face hub, in the format ``hf``: a folder with
    config.json and safetensors files. Name the commit as `revision` where it is known.
    """
    return Weights(
        precision=precision,
        format="hf",
        source=f"hub:{repository}",
        revision=revision,
        size_bytes=size_bytes,
        license=license,
        purpose=purpose,
    )


def weight_bytes(weights: Weights, shape: Architecture) -> int | None:
    """Bytes that weights take in memory, on all accelerators of one replica together; None if
    unknown. The size of their files, else an estimate: all parameters in their precision; for a
    4-bit precision of a model with experts, only the routed experts, and the rest in bf16. The
    estimate is good to about 10 %: a checkpoint may leave other parts unquantised.
    """
    if weights.size_bytes is not None:
        return weights.size_bytes
    each = BYTES_PER_PARAMETER.get(weights.precision)
    if each is None or shape.parameters is None:
        return None
    experts = expert_parameters(shape)
    if each >= 1 or experts is None or experts > shape.parameters:
        return round(shape.parameters * each)
    return round(experts * each + (shape.parameters - experts) * BYTES_PER_PARAMETER["bf16"])


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
class Parsers:
    """The names under which an engine knows the model's parsers of tool calls and of reasoning
    text, and its tokenizer mode. Engines use them if the user asks for tool calls or reasoning.
    """

    engine: str
    tool: str | None = None
    reasoning: str | None = None
    tokenizer_mode: str | None = None
    source: str
    date: str


@attrs.frozen(kw_only=True)
class AccuracyThreshold:
    """The minimum score of this model in an eval, with the source of that number.

    `variant`: the number is valid for variants of the eval that begin with this text (None: any).
    `precision`: for weights of this precision (None: any). `baseline`: what a sound deployment of
    the model scored there, with a source of its own.
    """

    eval: str
    minimum: float
    source: str
    date: str
    variant: str | None = None
    precision: str | None = None
    baseline: float | None = None
    baseline_source: str | None = None


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

    `aliases`: other names; each needs an entry point of its own, like the name. `extra_weights`:
    draft models, EAGLE and MTP heads and adapters, by the name that an engine's options use.
    `chat_template`: its text. `facts`: other properties of the model that can change a result, for
    provenance.

    A plugin for many models has `options` and a `factory`, which returns the spec of the model that
    they describe. It may read files. Of its registered spec, only name and summary are used.
    """

    name: str
    summary: str
    weights: tuple[Weights, ...] = ()
    architecture: Architecture = Architecture()
    recipes: tuple[Recipe, ...] = ()
    thresholds: tuple[AccuracyThreshold, ...] = ()
    tokenizer: Callable[[str], Tokenizer] | None = None
    aliases: tuple[str, ...] = ()
    extra_weights: FrozenMap[Weights] = FrozenMap()
    parsers: tuple[Parsers, ...] = ()
    chat_template: str | None = None
    facts: FrozenMap[str] = FrozenMap()
    options: type[Any] = NoOptions
    factory: Callable[[Any, PluginContext], ModelSpec] | None = None
