"""Level 4: the real weights of a model, if they are on this machine, and its tokenizer."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping

from tokenbench.api import EngineError, ModelSpec, Tokenizer, Weights
from tokenbench.harness import locate
from tokenbench_testing.kit import Subject, check, fail, skip

from .model import model_of

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "naïve café, Ærøskøbing, Łódź, voilà",
    "敏捷的棕色狐狸跳过懒狗。素早い茶色の狐、빠른 갈색 여우",
    "🙂 👩‍🔬 🏳️‍🌈",
    "two  spaces,   three;\ttab\n\nnew lines\n  indented ",
)


@functools.cache
def _path(weights: Weights) -> str | EngineError:
    """The path of weights, or the error in locating them. Cached."""
    try:
        return locate(weights)
    except EngineError as error:
        return error


def _installed(weights: Weights) -> bool:
    """Whether the weights' package is installed, so that its file must exist."""
    scheme, _, rest = weights.source.partition(":")
    try:
        return scheme == "package" and bool(importlib.metadata.version(rest.partition("/")[0]))
    except importlib.metadata.PackageNotFoundError:
        return False


def _local(spec: ModelSpec) -> Mapping[Weights, str | EngineError]:
    """Path or error of each set of weights that is a local file."""
    return {w: _path(w) for w in spec.weights if not w.source.startswith("hub:")}


def _tokenizer(subject: Subject) -> Tokenizer:
    model = model_of(subject)
    if model.tokenizer is None:
        skip("it uses the server's tokenizer")
    paths = [path for path in _local(model).values() if isinstance(path, str)]
    made = model.tokenizer(paths[0] if paths else skip("its weights are not here"))
    return made if isinstance(made, Tokenizer) else fail(f"{made!r} is not a Tokenizer")


def _texts(subject: Subject) -> tuple[str, ...]:
    return (*TEXTS, *subject.data.get("texts", ()))


@check(4, "model")
def weights_match_the_spec(subject: Subject) -> None:
    """Local weights have the size and SHA-256 in the spec.

    To fix: set those of the file that `source` and `revision` name, or reinstall it.
    """
    found = _local(model_of(subject))
    for weights, path in found.items():
        if isinstance(path, EngineError) and ("corrupt" in path.message or _installed(weights)):
            fail(path.message)
    if not any(isinstance(path, str) for path in found.values()):
        skip("its weights are not on this machine")


@check(4, "model")
def tokenizer_round_trips_text(subject: Subject) -> None:
    """Encoding and decoding a text does not change it.

    To fix: add no prefix space or special tokens, and do not clean up spaces when decoding.
    """
    tokenizer = _tokenizer(subject)
    for text in _texts(subject):
        back = tokenizer.decode(tokenizer.encode(text))
        if back != text:
            fail(f"{text!r} was decoded as {back!r}")


@check(4, "model")
def tokenizer_adds_no_special_tokens(subject: Subject) -> None:
    """Encoding plain text gives no special tokens: the server adds its own.

    To fix: encode with add_special_tokens=False.
    """
    tokenizer = _tokenizer(subject)
    for text in _texts(subject):
        special = set(tokenizer.encode(text)) & tokenizer.special_ids
        if special:
            fail(f"{text!r} has the special ids {sorted(special)}")


@check(4, "model")
def token_ids_are_within_the_vocabulary(subject: Subject) -> None:
    """Token ids, also special ones, are at least 0 and less than `vocab_size`.

    To fix: include added tokens in `vocab_size`.
    """
    tokenizer = _tokenizer(subject)
    ids = set(tokenizer.special_ids).union(*map(tokenizer.encode, _texts(subject)))
    outside = [token for token in ids if not 0 <= token < tokenizer.vocab_size]
    if outside:
        fail(f"the ids {sorted(outside)} are outside of {tokenizer.vocab_size} tokens")


@check(4, "model")
def vocabulary_matches_the_architecture(subject: Subject) -> None:
    """`architecture.vocabulary` is the tokenizer's size, with at most 5 % padding.

    To fix: take it from the same revision as the weights.
    """
    stated = model_of(subject).architecture.vocabulary
    if stated is None:
        skip("architecture.vocabulary is not set")
    size = _tokenizer(subject).vocab_size
    # Embeddings are padded to a round number of rows; a larger id would crash a server.
    if not size <= stated <= size * 1.05:
        fail(f"the architecture has {stated} tokens, the tokenizer {size}")
