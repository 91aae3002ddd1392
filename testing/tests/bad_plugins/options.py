"""Level 1: options classes that are not plain data."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import Artifact, Reporter, ReporterSpec, View, option, options
from tokenbench_testing.kit import Subject


@options
class Good:
    """Passes all checks."""

    window_s: float = option(default=1.0, unit="s", minimum=0, help="length")
    columns: tuple[str, ...] = option(default=("a", "b"), help="columns to show")
    title: str | None = option(default=None, help="a heading")
    wide: bool = option(default=False, help="more columns")
    key_env: str | None = option(default=None, help="NAME of a variable")


@attrs.define(kw_only=True, unsafe_hash=True)
class Changeable:
    """Not frozen."""

    wide: bool = attrs.field(default=False, metadata={"help": "more columns"})


@attrs.frozen(kw_only=True)
class Silent:
    """No help."""

    wide: bool = False


@options
class WrongUnit:
    """A name in seconds with a unit of milliseconds."""

    window_s: float = option(default=1.0, unit="ms", help="length")


@options
class WrongDefault:
    """A default that the validation rejects."""

    mode: str = option(default="fast", help="how")

    def __attrs_post_init__(self) -> None:
        if self.mode not in ("quick", "slow"):
            raise ValueError(f"mode: expected quick or slow, got {self.mode!r}")


@attrs.frozen
class Span:
    """A custom class."""

    start: int = 0


@options
class Unreadable:
    """A type that cannot be parsed from text."""

    span: Any = option(default=Span(), help="a span")


@options
class Listed:
    """A list instead of a tuple."""

    columns: Any = option(default=attrs.Factory(list), help="columns to show")


@options
class Open:
    """A secret that is not marked."""

    api_key: str = option(default="", help="the key")


class Nothing(Reporter):
    """Renders nothing."""

    def render(self, view: View) -> list[Artifact]:
        """An empty page."""
        return [Artifact(name="x.txt", content=b"nothing\n")]


def _subject(cls: type[Any], made: Any) -> Subject:
    spec = ReporterSpec(name="r", summary="shows", factory=lambda *_: Nothing(), options=cls)
    return Subject(kind="reporter", name="r", module="bad_plugins.options", spec=spec, options=made)


GOOD = [_subject(Good, Good())]
BAD = {
    "options-are-frozen": _subject(Changeable, Changeable()),
    "options-have-help": _subject(Silent, Silent()),
    "options-have-units": _subject(WrongUnit, WrongUnit()),
    "option-defaults-are-valid": _subject(WrongDefault, None),
    "options-round-trip": _subject(Unreadable, Unreadable()),
    "options-are-hashable": _subject(Listed, Listed()),
    "secrets-are-not-shown": _subject(Open, Open()),
}
# A list does not round-trip through text either.
ALSO = {"options-are-hashable": {"options-round-trip"}}
LEVELS = (1,)
