"""Level 1: a spec is plain data: immutable, comparable and serializable."""

from __future__ import annotations

import re

import attrs

from tokenbench_testing.kit import Subject, check, fail, skip

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@check(1)
def name_is_plain(subject: Subject) -> None:
    """The name has only lower case letters, digits, dashes, dots and underscores.

    To fix: rename the spec and its entry point; both names must be equal.
    """
    if not _NAME.fullmatch(subject.name):
        fail(f"{subject.name!r} cannot be used as NAME:key=value")


@check(1)
def summary_is_one_line(subject: Subject) -> None:
    """`summary` describes the plugin in one line; lists and pages show it.

    To fix: write one sentence or phrase of at most 100 characters, without a full stop.
    """
    if not hasattr(subject.spec, "summary"):
        skip("this kind has no spec")
    text = subject.spec.summary
    if not text.strip() or "\n" in text or len(text) > 100 or text.endswith("."):
        fail(f"summary: {text!r}")


@check(1)
def spec_is_hashable(subject: Subject) -> None:
    """The spec is an immutable value: hashable and equal to itself.

    To fix: use tuples and FrozenMap instead of lists and dicts.
    """
    if not attrs.has(type(subject.spec)):
        skip("this kind has no spec")
    try:
        hash(subject.spec)
    except TypeError as error:
        fail(f"the spec is not hashable: {error}")
