"""Models: consistent facts, and sources that can be resolved."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from tokenbench.api import ModelSpec, Recipe
from tokenbench.api.binding import render_flag, symbols
from tokenbench.plan.canonical import canonical_json
from tokenbench.testing.kit import Subject, check, fail

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


def _repeated(keys: Sequence[Any]) -> list[Any]:
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]


# -- weights -------------------------------------------------------------------------------------


@check(2, "model")
def model_has_weights(subject: Subject) -> None:
    """A model has at least one set of weights.

    To fix: add Weights(precision=..., format=..., source=..., revision=...).
    """
    if not subject.spec.weights:
        fail("it has no weights")


@check(2, "model")
def weights_have_a_known_source(subject: Subject) -> None:
    """`source` is package:DIST/PATH, file:PATH or hub:ORG/NAME.

    To fix: add the scheme; URLs are not supported.
    """
    for weights in subject.spec.weights:
        if not _SOURCE.fullmatch(weights.source):
            fail(f"invalid source {weights.source!r}")


@check(2, "model")
def weights_have_a_revision(subject: Subject) -> None:
    """`revision` identifies the weights: results are compared by it.

    To fix: use the hub's commit, or the version of the package.
    """
    for weights in subject.spec.weights:
        if not weights.revision.strip():
            fail(f"{weights.source} has no revision")


@check(2, "model")
def weights_are_distinct(subject: Subject) -> None:
    """There is one set of weights per precision and format: users select by these.

    To fix: name a second quantisation by its scheme (int4-awq, int4-gptq), or remove it.
    """
    twice = _repeated([(w.precision, w.format) for w in subject.spec.weights])
    if twice:
        fail(f"more than one set of weights has precision {twice[0][0]} and format {twice[0][1]}")


@check(2, "model")
def weights_have_plain_labels(subject: Subject) -> None:
    """Precision and format are lower case, without spaces.

    To fix: use names like bf16, fp8, q4_1; safetensors, gguf.
    """
    for weights in subject.spec.weights:
        for label in (weights.precision, weights.format):
            if not _LABEL.fullmatch(label):
                fail(f"{weights.source}: invalid label {label!r}")


@check(2, "model")
def weights_digest_is_sha256(subject: Subject) -> None:
    """`sha256` is 64 lower case hexadecimal digits, or None.

    To fix: copy it from `sha256sum FILE`, without a prefix.
    """
    for weights in subject.spec.weights:
        if weights.sha256 is not None and not _SHA256.fullmatch(weights.sha256):
            fail(f"{weights.source}: sha256 {weights.sha256!r}")


@check(2, "model")
def weights_size_is_positive(subject: Subject) -> None:
    """`size_bytes` is the file's size, or None if unknown.

    To fix: copy it from `stat -c %s FILE`, or omit it.
    """
    for weights in subject.spec.weights:
        if weights.size_bytes is not None and weights.size_bytes <= 0:
            fail(f"{weights.source}: size_bytes {weights.size_bytes}")


# -- architecture --------------------------------------------------------------------------------


@check(2, "model")
def architecture_counts_are_positive(subject: Subject) -> None:
    """Unknown values of a model's shape are None, never 0.

    To fix: omit the field (a dense model has experts=None).
    """
    for name, value in attrs.asdict(subject.spec.architecture).items():
        if value is not None and value <= 0:
            fail(f"{name} is {value}")


@check(2, "model")
def active_parameters_are_within_the_total(subject: Subject) -> None:
    """`active_parameters` is not larger than `parameters`.

    To fix: both are counts, not billions.
    """
    shape = subject.spec.architecture
    _fail_if_more(shape.active_parameters, shape.parameters, "active parameters")


@check(2, "model")
def active_experts_are_within_the_total(subject: Subject) -> None:
    """`active_experts` is not larger than `experts`.

    To fix: `experts` counts those of one layer.
    """
    shape = subject.spec.architecture
    _fail_if_more(shape.active_experts, shape.experts, "active experts")


@check(2, "model")
def kv_heads_divide_heads(subject: Subject) -> None:
    """`kv_heads` divides `heads`.

    To fix: compare num_attention_heads and num_key_value_heads in the model's config.
    """
    shape = subject.spec.architecture
    heads, kv_heads = shape.heads or 0, shape.kv_heads or 0
    if heads > 0 and kv_heads > 0 and heads % kv_heads:
        fail(f"{shape.kv_heads} key-value heads for {shape.heads} heads")


def _fail_if_more(part: int | None, total: int | None, what: str) -> None:
    if part is not None and total is not None and part > total > 0:
        fail(f"{part} {what} of {total}")


# -- recipes -------------------------------------------------------------------------------------


@check(2, "model")
def recipes_have_source_and_date(subject: Subject) -> None:
    """Each recipe has a source, and its date (2026-11 or 2026-11-21).

    To fix: name the vendor's page or the measurement it comes from.
    """
    for recipe in subject.spec.recipes:
        if not recipe.source.strip() or not is_iso_date(recipe.date):
            fail(f"{recipe.engine}: source {recipe.source!r}, date {recipe.date!r}")


@check(2, "model")
def recipes_have_plain_settings(subject: Subject) -> None:
    """Flags are not empty and contain no space; variables have letters, digits and underscores.

    To fix: FrozenMap({"--max-num-seqs": 256}): the flag is the key, its value the value.
    """
    for recipe in subject.spec.recipes:
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
    for recipe in subject.spec.recipes:
        case = (recipe.engine, recipe.hardware, recipe.precision, recipe.role)
        for name, value in (*recipe.flags.items(), *recipe.environment.items()):
            if seen.setdefault((*case, name), value) != value:
                fail(f"{recipe.engine}: {name} is {seen[*case, name]!r} and {value!r}")


@check(2, "model")
def recipe_precisions_exist(subject: Subject) -> None:
    """A recipe's precision is that of some weights, or None.

    To fix: spell it as in the weights.
    """
    _fail_on_unknown_precision(subject.spec, subject.spec.recipes)


@check(2, "model")
def recipe_environment_holds_no_secret(subject: Subject) -> None:
    """Variables refer to secrets by name and do not contain them.

    To fix: use "{secret:NAME}", which takes the value from the user's variable NAME.
    """
    for recipe in subject.spec.recipes:
        for name, text in recipe.environment.items():
            if literal_secret(name, text):
                fail(f"{recipe.engine}: variable {name} contains a secret")


@check(2, "model")
def recipe_flags_hold_no_secret(subject: Subject) -> None:
    """Flags contain no secret: every user of the machine can read command lines.

    To fix: pass it in an environment variable, as "{secret:NAME}".
    """
    for recipe, flag, text in _flag_texts(subject.spec.recipes):
        if literal_secret(flag, text) or any(s.startswith("secret:") for s in symbols(text)):
            fail(f"{recipe.engine}: flag {flag} contains a secret")


def _flag_texts(recipes: Sequence[Recipe]) -> Iterator[tuple[Recipe, str, str]]:
    for recipe in recipes:
        for flag, value in recipe.flags.items():
            for text in render_flag(flag, value)[1:]:
                # A number is a limit (--max-token 512), not a secret.
                if not text.lstrip("-").replace(".", "", 1).isdigit():
                    yield recipe, flag, text


# -- thresholds ----------------------------------------------------------------------------------


@check(2, "model")
def thresholds_have_source_and_date(subject: Subject) -> None:
    """Each threshold has a source, and its date (2026-11 or 2026-11-21).

    To fix: name the model card or the measurement.
    """
    for threshold in subject.spec.thresholds:
        if not threshold.source.strip() or not is_iso_date(threshold.date):
            fail(f"{threshold.eval}: source {threshold.source!r}, date {threshold.date!r}")


@check(2, "model")
def thresholds_are_fractions(subject: Subject) -> None:
    """`minimum` is between 0 and 1, like scores.

    To fix: divide percentages by 100.
    """
    for threshold in subject.spec.thresholds:
        if not 0 <= threshold.minimum <= 1:
            fail(f"{threshold.eval}: minimum {threshold.minimum}")


@check(2, "model")
def thresholds_are_distinct(subject: Subject) -> None:
    """There is one threshold per eval, variant and precision: only the first would apply.

    To fix: keep the valid one, or distinguish them by `variant` or `precision`.
    """
    twice = _repeated([(t.eval, t.variant, t.precision) for t in subject.spec.thresholds])
    if twice:
        fail(f"more than one threshold for {twice[0]}")


@check(2, "model")
def threshold_precisions_exist(subject: Subject) -> None:
    """A threshold's precision is that of some weights, or None.

    To fix: spell it as in the weights.
    """
    _fail_on_unknown_precision(subject.spec, subject.spec.thresholds)


def _fail_on_unknown_precision(spec: ModelSpec, items: Sequence[Any]) -> None:
    known = {weights.precision for weights in spec.weights}
    for item in items:
        if known and item.precision is not None and item.precision not in known:
            fail(f"no weights have precision {item.precision!r}, only {', '.join(sorted(known))}")


@check(2, "model")
def model_is_serializable(subject: Subject) -> None:
    """The spec without its tokenizer is plain data: plans are stored and compared as JSON.

    To fix: use only str, int, float, bool, None, tuples and FrozenMap.
    """
    try:
        canonical_json(attrs.evolve(subject.spec, tokenizer=None))
    except (TypeError, ValueError) as error:
        fail(str(error))
