"""Level 1: options that are no data."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import Artifact, Reporter, ReporterSpec, View, option, options
from tokenbench.testing.kit import Subject


@options
class Sound:
    """Nothing wrong."""

    window_s: float = option(default=1.0, unit="s", minimum=0, help="length")
    columns: tuple[str, ...] = option(default=("a", "b"), help="what to show")
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
    """A name in seconds, a unit of milliseconds."""

    window_s: float = option(default=1.0, unit="ms", help="length")


@options
class WrongDefault:
    """A default that the rule refuses."""

    mode: str = option(default="fast", help="how")

    def __attrs_post_init__(self) -> None:
        if self.mode not in ("quick", "slow"):
            raise ValueError(f"mode: expected quick or slow, got {self.mode!r}")


@attrs.frozen
class Span:
    """A class of its own."""

    start: int = 0


@options
class Unreadable:
    """A type that no text can be read back to."""

    span: Any = option(default=Span(), help="a span")


@options
class Listed:
    """A list where a tuple belongs."""

    columns: Any = option(default=attrs.Factory(list), help="what to show")


@options
class Open:
    """A secret in the open."""

    api_key: str = option(default="", help="the key")


class Nothing(Reporter):
    """Shows nothing."""

    def render(self, view: View) -> list[Artifact]:
        """An empty page."""
        return [Artifact(name="x.txt", content=b"nothing\n")]


def _subject(cls: type[Any], made: Any) -> Subject:
    spec = ReporterSpec(name="r", summary="shows", factory=lambda o: Nothing(), options=cls)
    return Subject(kind="reporter", name="r", module="bad_plugins.options", spec=spec, options=made)


GOOD = [_subject(Sound, Sound())]
BAD = {
    "options-are-frozen": _subject(Changeable, Changeable()),
    "options-have-help": _subject(Silent, Silent()),
    "options-have-units": _subject(WrongUnit, WrongUnit()),
    "option-defaults-are-valid": _subject(WrongDefault, None),
    "options-round-trip": _subject(Unreadable, Unreadable()),
    "options-are-hashable": _subject(Listed, Listed()),
    "secrets-are-not-shown": _subject(Open, Open()),
}
# A list is read back from text as something else, too.
ALSO = {"options-are-hashable": {"options-round-trip"}}
LEVELS = (1,)
