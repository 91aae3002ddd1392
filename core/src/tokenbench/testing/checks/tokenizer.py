"""The real weights of a model, where they are on this machine, and its tokenizer."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping

from tokenbench.api import EngineError, ModelSpec, Tokenizer, Weights
from tokenbench.run.weights import locate
from tokenbench.testing.kit import Subject, check, fail, skip

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "naïve café, Ærøskøbing, Łódź, voilà",
    "敏捷的棕色狐狸跳过懒狗。素早い茶色の狐、빠른 갈색 여우",
    "🙂 👩‍🔬 🏳️‍🌈",
    "two  spaces,   three;\ttab\n\nnew lines\n  indented ",
)


@functools.cache
def _path(weights: Weights) -> str | EngineError:
    """Where weights are, checked once; or what is wrong with them."""
    try:
        return locate(weights)
    except EngineError as error:
        return error


def _installed(weights: Weights) -> bool:
    """Whether the package of weights is there, so that its file must be too."""
    scheme, _, rest = weights.source.partition(":")
    try:
        return scheme == "package" and bool(importlib.metadata.version(rest.partition("/")[0]))
    except importlib.metadata.PackageNotFoundError:
        return False


def _local(spec: ModelSpec) -> Mapping[Weights, str | EngineError]:
    """What is known of each set of weights that is a file of this machine."""
    return {w: _path(w) for w in spec.weights if not w.source.startswith("hub:")}


def _tokenizer(subject: Subject) -> Tokenizer:
    if subject.spec.tokenizer is None:
        skip("it uses the server's tokenizer")
    paths = [path for path in _local(subject.spec).values() if isinstance(path, str)]
    made = subject.spec.tokenizer(paths[0] if paths else skip("no weights of it are here"))
    return made if isinstance(made, Tokenizer) else fail(f"{made!r} is no Tokenizer")


def _texts(subject: Subject) -> tuple[str, ...]:
    return (*TEXTS, *subject.data.get("texts", ()))


@check(4, "model")
def weights_match_the_spec(subject: Subject) -> None:
    """Weights that are on this machine have the stated size and SHA-256.

    To fix: state those of the file that `source` and `revision` name, or install it again.
    """
    found = _local(subject.spec)
    for weights, path in found.items():
        if isinstance(path, EngineError) and ("corrupt" in path.message or _installed(weights)):
            fail(path.message)
    if not any(isinstance(path, str) for path in found.values()):
        skip("no weights of it are on this machine")


@check(4, "model")
def tokenizer_round_trips_text(subject: Subject) -> None:
    """Encoding and decoding changes nothing: prompts have the length and words they should.

    To fix: add no prefix space and no special tokens, and clean up no spaces when decoding.
    """
    tokenizer = _tokenizer(subject)
    for text in _texts(subject):
        back = tokenizer.decode(tokenizer.encode(text))
        if back != text:
            fail(f"{text!r} came back as {back!r}")


@check(4, "model")
def tokenizer_adds_no_special_tokens(subject: Subject) -> None:
    """Plain text has no control token in it: the server adds its own.

    To fix: encode with add_special_tokens=False.
    """
    tokenizer = _tokenizer(subject)
    for text in _texts(subject):
        special = set(tokenizer.encode(text)) & tokenizer.special_ids
        if special:
            fail(f"{text!r} has the special ids {sorted(special)}")


@check(4, "model")
def token_ids_are_within_the_vocabulary(subject: Subject) -> None:
    """Ids count from 0 to below `vocab_size`, those of special tokens too.

    To fix: `vocab_size` counts added tokens as well.
    """
    tokenizer = _tokenizer(subject)
    ids = set(tokenizer.special_ids).union(*map(tokenizer.encode, _texts(subject)))
    outside = [token for token in ids if not 0 <= token < tokenizer.vocab_size]
    if outside:
        fail(f"the ids {sorted(outside)} of {tokenizer.vocab_size}")


@check(4, "model")
def vocabulary_matches_the_architecture(subject: Subject) -> None:
    """`architecture.vocabulary` is the tokenizer's, padded by no more than a twentieth.

    To fix: take it from the same revision as the weights.
    """
    stated = subject.spec.architecture.vocabulary
    if stated is None:
        skip("the architecture does not state it")
    size = _tokenizer(subject).vocab_size
    # Embeddings are padded to a round number of rows; an id beyond them would crash a server.
    if not size <= stated <= size * 1.05:
        fail(f"the architecture has {stated} tokens, the tokenizer {size}")
