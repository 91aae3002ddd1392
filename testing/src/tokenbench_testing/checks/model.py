"""Models: consistent facts, and sources that can be resolved."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from tokenbench.api import AccuracyThreshold, FlagGrammar, ModelSpec, NoOptions, Recipe, Weights
from tokenbench.harness import canonical_json, symbols
from tokenbench_testing.kit import Subject, check, fail, skip

_SOURCE = re.compile(r"package:[A-Za-z0-9._-]+/.+|file:.+|hub:[\w.-]+/[\w.-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?i)secret|password|passwd|credential|(api|access)[_-]?key|(hf|hub|api|auth|access)[_-]token$"
)
# Key formats of hubs and clouds (their documentation, read 2026-11).
_SECRET_VALUE = re.compile(r"\b(hf_\w{16,}|sk-[\w-]{16,}|gh[pousr]_\w{16,}|AKIA[0-9A-Z]{16})")


# -- shared with other kinds ---------------------------------------------------------------------


def is_iso_date(text: str) -> bool:
    """Whether a text is a day or a month in ISO 8601."""
    try:
        dt.date.fromisoformat(text + "-01" if len(text) == len("2026-11") else text)
    except ValueError:
        return False
    return True


def literal_secret(name: str, text: str) -> bool:
    """Whether a setting seems to contain a secret instead of a symbol for it."""
    if _SECRET_VALUE.search(text):
        return True
    return bool(text and _SECRET_NAME.search(name) and not symbols(text))


def model_of(subject: Subject) -> ModelSpec:
    """The model: the spec itself, or what its factory makes from the author's options."""
    spec: ModelSpec = subject.spec
    if spec.factory is None:
        return spec
    made = subject.create()
    return made if isinstance(made, ModelSpec) else fail(f"its factory returned {made!r}")


def _all_weights(subject: Subject) -> tuple[Weights, ...]:
    """The model's own weights, then its extra ones."""
    model = model_of(subject)
    return (*model.weights, *model.extra_weights.values())


def _repeated(keys: Sequence[Any]) -> list[Any]:
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]


# -- weights -------------------------------------------------------------------------------------


@check(0, "model")
def names_have_entry_points(subject: Subject) -> None:
    """The name and each alias is an entry point of the distribution: plugins are found by these.

    To fix: add it to the group `tokenbench.models` of the pyproject.
    """
    if subject.distribution is None:
        skip("it is not installed as a distribution")
    dist = importlib.metadata.distribution(subject.distribution)
    known = {e.name for e in dist.entry_points if e.group == "tokenbench.models"}
    for name in (subject.spec.name, *subject.spec.aliases):
        if name not in known:
            fail(f"{name!r} is not an entry point")


@check(2, "model")
def model_has_weights(subject: Subject) -> None:
    """A model has at least one set of weights.

    To fix: add Weights(precision=..., format=..., source=..., revision=...).
    """
    if not model_of(subject).weights:
        fail("it has no weights")


@check(2, "model")
def weights_have_a_known_source(subject: Subject) -> None:
    """`source` is package:DIST/PATH, file:PATH or hub:ORG/NAME.

    To fix: add the scheme; URLs are not supported.
    """
    for weights in _all_weights(subject):
        if not _SOURCE.fullmatch(weights.source):
            fail(f"invalid source {weights.source!r}")


@check(2, "model")
def weights_have_a_revision(subject: Subject) -> None:
    """`revision` identifies the weights: results are compared by it.

    To fix: use the hub's commit, or the version of the package.
    """
    for weights in _all_weights(subject):
        if not weights.revision.strip():
            fail(f"{weights.source} has no revision")


@check(2, "model")
def weights_are_distinct(subject: Subject) -> None:
    """There is one set of weights per precision and format: users select by these.

    To fix: name a second quantisation by its scheme (int4-awq, int4-gptq), or remove it.
    """
    twice = _repeated([(w.precision, w.format) for w in model_of(subject).weights])
    if twice:
        fail(f"more than one set of weights has precision {twice[0][0]} and format {twice[0][1]}")


@check(2, "model")
def weights_have_plain_labels(subject: Subject) -> None:
    """Precision and format are lower case, without spaces.

    To fix: use names like bf16, fp8, q4_1; safetensors, gguf.
    """
    for weights in _all_weights(subject):
        for label in (weights.precision, weights.format):
            if not _LABEL.fullmatch(label):
                fail(f"{weights.source}: invalid label {label!r}")


@check(2, "model")
def weights_digest_is_sha256(subject: Subject) -> None:
    """`sha256` is 64 lower case hexadecimal digits, or None.

    To fix: copy it from `sha256sum FILE`, without a prefix.
    """
    for weights in _all_weights(subject):
        if weights.sha256 is not None and not _SHA256.fullmatch(weights.sha256):
            fail(f"{weights.source}: sha256 {weights.sha256!r}")


@check(2, "model")
def weights_size_is_positive(subject: Subject) -> None:
    """`size_bytes` is the file's size, or None if unknown.

    To fix: copy it from `stat -c %s FILE`, or omit it.
    """
    for weights in _all_weights(subject):
        if weights.size_bytes is not None and weights.size_bytes <= 0:
            fail(f"{weights.source}: size_bytes {weights.size_bytes}")


@check(2, "model")
def extra_weights_have_another_purpose(subject: Subject) -> None:
    """`weights` are for the purpose "main", `extra_weights` for another one.

    To fix: Weights(purpose="draft", ...) in `extra_weights`; leave it out in `weights`.
    """
    model = model_of(subject)
    for weights in model.weights:
        if weights.purpose != "main":
            fail(f"weights of precision {weights.precision} are for {weights.purpose!r}")
    for name, weights in model.extra_weights.items():
        if weights.purpose == "main":
            fail(f"the extra weights {name!r} have no purpose")


# -- recipes -------------------------------------------------------------------------------------


@check(2, "model")
def facts_have_source_and_date(subject: Subject) -> None:
    """Each recipe, threshold and set of parsers has a source, and its date (2026-11 or 2026-11-21).

    To fix: name the vendor's page, the model's card or the measurement it comes from.
    """
    model = model_of(subject)
    for kind in ("recipes", "thresholds", "parsers"):
        for fact in getattr(model, kind):
            if not fact.source.strip() or not is_iso_date(fact.date):
                fail(f"{kind}: source {fact.source!r}, date {fact.date!r}")


@check(2, "model")
def recipes_have_plain_settings(subject: Subject) -> None:
    """Flags are not empty and contain no space; variables have letters, digits and underscores.

    To fix: FrozenMap({"--max-num-seqs": 256}): the flag is the key, its value the value.
    """
    for recipe in model_of(subject).recipes:
        for flag in recipe.flags:
            if not flag or flag.split() != [flag]:
                fail(f"{recipe.engine}: invalid flag {flag!r}")
        for name in recipe.environment:
            if not _VARIABLE.fullmatch(name):
                fail(f"{recipe.engine}: invalid variable {name!r}")


@check(2, "model")
def recipes_do_not_contradict(subject: Subject) -> None:
    """Recipes for the same case do not set different values.

    To fix: merge them, or distinguish them by `hardware`, `precision` or `role`.
    """
    seen: dict[tuple[Any, ...], Any] = {}
    for recipe in model_of(subject).recipes:
        case = (recipe.engine, recipe.hardware, recipe.precision, recipe.role)
        for name, value in (*recipe.flags.items(), *recipe.environment.items()):
            if seen.setdefault((*case, name), value) != value:
                fail(f"{recipe.engine}: {name} is {seen[*case, name]!r} and {value!r}")


@check(2, "model")
def precisions_exist(subject: Subject) -> None:
    """The precision of a recipe or a threshold is that of some weights, or None.

    To fix: spell it as in the weights.
    """
    model = model_of(subject)
    known = {weights.precision for weights in model.weights}
    facts: tuple[Recipe | AccuracyThreshold, ...] = (*model.recipes, *model.thresholds)
    for fact in facts:
        if known and fact.precision is not None and fact.precision not in known:
            fail(f"no weights have precision {fact.precision!r}, only {', '.join(sorted(known))}")


@check(2, "model")
def recipes_hold_no_secret(subject: Subject) -> None:
    """Flags contain no secret: every user of the machine can read command lines. Variables refer to
    secrets by name and do not contain them.

    To fix: use an environment variable with "{secret:NAME}", the value of the user's NAME.
    """
    recipes = model_of(subject).recipes
    for recipe in recipes:
        for name, text in recipe.environment.items():
            if literal_secret(name, text):
                fail(f"{recipe.engine}: variable {name} contains a secret")
    for recipe, flag, text in _flag_texts(recipes):
        if literal_secret(flag, text) or any(s.startswith("secret:") for s in symbols(text)):
            fail(f"{recipe.engine}: flag {flag} contains a secret")


def _flag_texts(recipes: Sequence[Recipe]) -> Iterator[tuple[Recipe, str, str]]:
    for recipe in recipes:
        for flag, value in recipe.flags.items():
            for text in FlagGrammar().render(flag, value)[1:]:
                # A number is a limit (--max-token 512), not a secret.
                if not text.lstrip("-").replace(".", "", 1).isdigit():
                    yield recipe, flag, text


# -- thresholds ----------------------------------------------------------------------------------


@check(2, "model")
def thresholds_are_fractions(subject: Subject) -> None:
    """`minimum` is between 0 and 1, like scores.

    To fix: divide percentages by 100.
    """
    for threshold in model_of(subject).thresholds:
        if not 0 <= threshold.minimum <= 1:
            fail(f"{threshold.eval}: minimum {threshold.minimum}")


@check(2, "model")
def thresholds_are_distinct(subject: Subject) -> None:
    """There is one threshold per eval, variant and precision: only the first would apply.

    To fix: keep the valid one, or distinguish them by `variant` or `precision`.
    """
    twice = _repeated([(t.eval, t.variant, t.precision) for t in model_of(subject).thresholds])
    if twice:
        fail(f"more than one threshold for {twice[0]}")


@check(2, "model")
def parsers_are_distinct(subject: Subject) -> None:
    """There is one set of parsers per engine.

    To fix: keep the valid one.
    """
    if twice := _repeated([item.engine for item in model_of(subject).parsers]):
        fail(f"more than one set of parsers for {twice[0]!r}")


@check(2, "model")
def model_is_serializable(subject: Subject) -> None:
    """The spec without its tokenizer is plain data: plans are stored and compared as JSON.

    To fix: use only str, int, float, bool, None, tuples and FrozenMap.
    """
    try:
        model = attrs.evolve(model_of(subject), tokenizer=None, factory=None, options=NoOptions)
        canonical_json(attrs.asdict(model, recurse=False) | {"options": None})
    except (TypeError, ValueError) as error:
        fail(str(error))
