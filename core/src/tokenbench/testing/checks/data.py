"""Level 1: what a plugin registered is data that can be frozen, compared, written and read."""

from __future__ import annotations

import re

import attrs

from tokenbench.testing.kit import Subject, check, fail, skip

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@check(1)
def name_is_plain(subject: Subject) -> None:
    """The name can be typed: lower case letters, digits, dash, dot, underscore.

    To fix: rename the spec and its entry point; they must be the same.
    """
    if not _NAME.fullmatch(subject.name):
        fail(f"{subject.name!r} cannot be typed as NAME:key=value")


@check(1)
def summary_is_one_line(subject: Subject) -> None:
    """`summary` is one line that says what it is; it stands in lists and pages.

    To fix: write one sentence or phrase, at most 100 characters, no full stop.
    """
    if not hasattr(subject.spec, "summary"):
        skip("this kind has no spec")
    text = subject.spec.summary
    if not text.strip() or "\n" in text or len(text) > 100 or text.endswith("."):
        fail(f"summary: {text!r}")


@check(1)
def spec_is_hashable(subject: Subject) -> None:
    """The spec is a frozen value: hashable and equal to itself.

    To fix: use tuples and FrozenMap where a list or dict stands.
    """
    if not attrs.has(type(subject.spec)):
        skip("this kind has no spec")
    try:
        hash(subject.spec)
    except TypeError as error:
        fail(f"the spec cannot be hashed: {error}")
