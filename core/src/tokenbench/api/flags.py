"""Flags of a command line: their values, and how an engine writes them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from .frozen import FrozenMap, freeze

Scalar = str | int | float | bool
FlagValue = Scalar | None | tuple[Scalar, ...] | FrozenMap[Any]
"""True: the flag alone. False: its negative form, or no flag if it has none. None: no flag. A
tuple: the flag once, then all values. A mapping: the flag, then the mapping as JSON."""


@attrs.frozen(kw_only=True)
class FlagGrammar:
    """How a program's command line is written, so that core can merge the settings of several
    layers.

    Core gives each flag its canonical name before it merges, explains and hashes settings.

    `aliases`: canonical name by other name (``{"-tp": "--tensor-parallel-size"}``). `negations`:
    the flag that a negative form switches off (``{"--no-enable-prefix-caching":
    "--enable-prefix-caching"}``). `json`: flags whose value is a JSON object; ``--flag.key`` sets
    one of its keys. `repeated`: flags that are given once for each of several values.
    `underscores`: ``--max_num_seqs`` means ``--max-num-seqs``.
    """

    aliases: FrozenMap[str] = FrozenMap()
    negations: FrozenMap[str] = FrozenMap()
    json: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    underscores: bool = False

    @classmethod
    def of(
        cls,
        flags: Iterable[Mapping[str, Any]],
        *,
        json: Iterable[str] = (),
        underscores: bool = False,
    ) -> FlagGrammar:
        """The grammar of flags that were read from a program's parser.

        Args:
            flags: for each, `names` (the canonical one first) and, if they apply, `negations` and
                the `kind` ``repeated``. Other keys are ignored. Parsers rarely report JSON objects:
                name those flags in `json`.
        """
        known = [(flag["names"][0], flag) for flag in flags]
        return cls(
            aliases=FrozenMap({other: name for name, flag in known for other in flag["names"][1:]}),
            negations=FrozenMap(
                {other: name for name, flag in known for other in flag.get("negations", ())}
            ),
            json=tuple(json),
            repeated=tuple(name for name, flag in known if flag.get("kind") == "repeated"),
            underscores=underscores,
        )

    @staticmethod
    def of_package(
        package: str,
        file: str = "flags.json",
        *,
        key: str = "flags",
        underscores: bool = False,
    ) -> FlagGrammar:
        """The grammar of flags that a package holds as data, as :meth:`of` takes them; those with
        the `type` ``json`` have JSON objects as values.

        Args:
            file: a JSON file beside the package's modules, whose `key` has the flags.
        """
        return _of_package(package, file, key, underscores)

    def canonical(self, flag: str, value: FlagValue) -> tuple[str, FlagValue]:
        """The canonical name and value of a flag. Keys of a JSON flag keep their dots:
        ``--flag.key``.

        Raises:
            ValueError: a negative form has another value than true or false.
        """
        name, dot, keys = flag.partition(".")
        if self.underscores and name.startswith("--"):
            name = name.replace("_", "-")
        name = self.aliases.get(name, name)
        if name in self.negations:
            if not isinstance(value, bool | None):
                raise ValueError(f"{flag} takes no value, got {value!r}")
            return self.negations[name], None if value is None else not value
        return name + dot + keys, value

    def leaves(self, flag: str, value: FlagValue) -> Iterator[tuple[str, FlagValue]]:
        """A canonical flag as it is merged: a JSON value as one entry for each of its keys.

        Raises:
            ValueError: the value of a JSON flag is text that is not a JSON object.
        """
        name = flag.partition(".")[0]
        if name not in self.json or value is None:
            yield flag, value
            return
        found: Any = _object(name, value) if isinstance(value, str) and flag == name else value
        if isinstance(found, Mapping):
            for key, item in found.items():
                yield from self.leaves(f"{flag}.{key}", item)
        else:
            yield flag, value

    def joined(self, leaves: Mapping[str, FlagValue]) -> dict[str, FlagValue]:
        """Merged entries as flags: the keys of a JSON flag become one mapping again."""
        flags: dict[str, Any] = {}
        for flag, value in leaves.items():
            name, *keys = flag.split(".") if flag.partition(".")[0] in self.json else [flag]
            if not keys:
                flags[name] = value
                continue
            place = flags.setdefault(name, {})
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place[keys[-1]] = value
        return {name: freeze(value) for name, value in flags.items()}

    def render(self, flag: str, value: FlagValue) -> tuple[str, ...]:
        """A canonical flag as command-line arguments; :data:`FlagValue` has the rules."""
        if value is None:
            return ()
        if value is False:
            negative = [name for name, positive in self.negations.items() if positive == flag]
            return tuple(negative[:1])
        if value is True:
            return (flag,)
        if isinstance(value, Mapping):
            return (flag, json.dumps(value, separators=(",", ":"), default=dict))
        if isinstance(value, tuple):
            if flag in self.repeated:
                return tuple(part for item in value for part in (flag, str(item)))
            return (flag, *map(str, value))
        return (flag, str(value))


@functools.cache
def package_json(package: str, file: str = "flags.json") -> dict[str, Any]:
    """A JSON object in a file of a package, such as the flags of a program. It is cached: do not
    change it.
    """
    # Here, because every command imports this module.
    from importlib.resources import files

    found: dict[str, Any] = json.loads(files(package).joinpath(file).read_text(encoding="utf-8"))
    return found


@functools.cache
def _of_package(package: str, file: str, key: str, underscores: bool) -> FlagGrammar:
    flags = package_json(package, file)[key]
    objects = (flag["names"][0] for flag in flags if flag.get("type") == "json")
    return FlagGrammar.of(flags, json=objects, underscores=underscores)


def _object(flag: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{flag} takes a JSON object, got {text!r}")
    return found
