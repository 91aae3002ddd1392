"""A user's own rates and token prices: the content of a YAML file, read as strictly as a suite.

The file is read by :func:`tokenbench.suite.yaml_lines.read`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import attrs

from tokenbench.api import FrozenMap, UsageError
from tokenbench.api.sku import OWNERSHIP
from tokenbench.suite.shown import kind_of, shown
from tokenbench.suite.yaml_lines import Document

from .column import RateIdentity
from .rates import ALL_IN_W, Rate, RateSet, TokenPrice

FILE_VERSION = 1
"""Version of the file's format."""
MOST_USD_PER_HOUR = 1000.0
"""Upper limit. The most expensive accelerator of the catalogue costs 5 US dollars per hour."""
LEAST_W, MOST_W = 10.0, 100_000.0
"""Limits that reject kilowatts (1.37) and milliwatts given as watts."""
MOST_USD_PER_MILLION = 10_000.0

_KEYS = ("version", "name", "date", "source", "rates", "prices")
_RATE_KEYS = ("usd_per_hour", ALL_IN_W, "date", "source")
_PRICE_KEYS = ("provider", "model", "input", "cached_input", "output", "date", "source")
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")


@attrs.frozen(kw_only=True)
class UserRates:
    """The content of a file of rates. `version` of its identity is a hash of the content."""

    rates: RateSet
    prices: tuple[TokenPrice, ...]


def parse_rates(document: Document) -> UserRates:
    """Rates and prices of a parsed file.

    Raises:
        UsageError: with ``file:line: path: what was expected, what was found``.
    """
    reader = _Reader(document)
    data = reader.mapping("", document.data, _KEYS, required=("name", "date", "source"))
    version = data.get("version", FILE_VERSION)
    if type(version) is not int or version != FILE_VERSION:
        reader.refuse(
            "version",
            f"this version of bench reads version {FILE_VERSION} of the rates file, not "
            f"{shown(version)}",
            f"for example: version: {FILE_VERSION}",
        )
    if not data.get("rates") and not data.get("prices"):
        reader.refuse("", "neither rates nor prices are given", "give rates, prices or both")
    name, source = reader.text("name", data["name"]), reader.text("source", data["source"])
    whole = json.dumps(document.data, sort_keys=True).encode()
    default = _Origin(
        identity=RateIdentity(
            name=name,
            version=f"sha256:{hashlib.sha256(whole).hexdigest()[:12]}",
            date=reader.date("date", data["date"]),
        ),
        source=source,
    )
    return UserRates(
        rates=_rates(reader, data.get("rates", {}), default),
        prices=_prices(reader, data.get("prices", []), default),
    )


@attrs.frozen(kw_only=True)
class _Origin:
    identity: RateIdentity
    source: str


def _rates(reader: _Reader, data: Any, default: _Origin) -> RateSet:
    found: dict[str, FrozenMap[Rate]] = {}
    for sku, value in reader.mapping("rates", data).items():
        path = f"rates.{sku}"
        entry = reader.mapping(path, value, _RATE_KEYS)
        origin = reader.origin(path, entry, default)
        figures: dict[str, float] = {}
        models = reader.mapping(f"{path}.usd_per_hour", entry.get("usd_per_hour", {}), OWNERSHIP)
        for model, price in models.items():
            place = f"{path}.usd_per_hour.{model}"
            figures[f"usd_per_hour.{model}"] = reader.number(place, price, 0.0, MOST_USD_PER_HOUR)
        if ALL_IN_W in entry:
            figures[ALL_IN_W] = reader.number(
                f"{path}.{ALL_IN_W}", entry[ALL_IN_W], LEAST_W, MOST_W, unit=" watts"
            )
        if not figures:
            reader.refuse(
                path,
                "no figure is given",
                f"give usd_per_hour, {ALL_IN_W} or both, or remove {sku!r}",
            )
        found[sku] = FrozenMap(
            {
                figure: Rate(
                    name=figure, value=number, identity=origin.identity, source=origin.source
                )
                for figure, number in figures.items()
            }
        )
    return RateSet(rates=FrozenMap(found))


def _prices(reader: _Reader, data: Any, default: _Origin) -> tuple[TokenPrice, ...]:
    if not isinstance(data, list):
        reader.refuse("prices", f"expected a list, got {kind_of(data)}", _PRICES_FORM)
    found: dict[tuple[str, str], TokenPrice] = {}
    for index, value in enumerate(data):
        path = f"prices[{index}]"
        entry = reader.mapping(
            path, value, _PRICE_KEYS, required=("provider", "model", "input", "output")
        )
        origin = reader.origin(path, entry, default)
        numbers = {
            key: reader.number(f"{path}.{key}", entry[key], 0.0, MOST_USD_PER_MILLION)
            for key in ("input", "cached_input", "output")
            if key in entry
        }
        price = TokenPrice(
            provider=reader.text(f"{path}.provider", entry["provider"]),
            model=reader.text(f"{path}.model", entry["model"]),
            identity=origin.identity,
            source=origin.source,
            **numbers,
        )
        if (price.provider, price.model) in found:
            reader.refuse(
                path,
                f"{price.provider!r} has a second price for {price.model!r}",
                "give each model of a provider one price",
            )
        found[price.provider, price.model] = price
    return tuple(found.values())


_PRICES_FORM = "for example: prices: [{provider: NAME, model: NAME, input: 0.5, output: 2}]"
_FORMS = {
    "": "keys: " + ", ".join(_KEYS),
    "rates": "for example: rates: {h200: {usd_per_hour: {neocloud: 1.6}, all_in_w: 1370}}",
    "prices": _PRICES_FORM,
}


@attrs.frozen
class _Reader:
    """Checks values. Errors name the place in the file."""

    document: Document

    def refuse(self, path: str, message: str, hint: str | None = None) -> Any:
        """Raise the error of the value at `path`."""
        top = re.split(r"[.\[]", path)[0]
        text = hint if hint is not None else _FORMS.get(top, f"for example: {top}: ...")
        raise UsageError(f"{self.document.where(path)}: {message}", hint=text)

    def mapping(
        self,
        path: str,
        value: Any,
        keys: Sequence[str] | None = None,
        required: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A mapping; with `keys`, of these only."""
        if not isinstance(value, dict):
            what = "nothing: the file is empty" if value is None and not path else kind_of(value)
            self.refuse(path, f"expected a mapping, got {what}")
        for key in value:
            if keys is not None and key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                listed = f"keys here: {', '.join(keys)}"
                inner = f"{path}.{key}" if path else key
                hint = f"did you mean {near[0]!r}? ({listed})" if near else listed
                self.refuse(inner, f"unknown key {key}", hint)
        for key in required:
            if key not in value:
                self.refuse(path, f"the key {key!r} is missing", f"keys: {', '.join(required)}")
        found: dict[str, Any] = value
        return found

    def text(self, path: str, value: Any) -> str:
        """Text that is not empty."""
        if not isinstance(value, str) or not value.strip():
            self.refuse(path, f"expected text, got {shown(value)}")
        return str(value)

    def date(self, path: str, value: Any) -> str:
        """A day (``2026-11-30``) or a month (``2026-11``)."""
        hint = "for example: date: 2026-11-30"
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            self.refuse(path, f"expected a day or a month, got {shown(value)}", hint)
        try:
            dt.date.fromisoformat(value if len(value) > 7 else f"{value}-01")
        except ValueError:
            self.refuse(path, f"there is no such date: {shown(value)}", hint)
        return str(value)

    def number(self, path: str, value: Any, low: float, high: float, unit: str = "") -> float:
        """A number above 0, from `low` to `high`. Unknown values are left out, never 0."""
        if type(value) not in (int, float):
            self.refuse(path, f"expected a number, got {shown(value)}")
        # Rejects nan and integers too large for a float.
        if not (value > 0 and low <= value <= high):
            least = f"{low:,g}" if low else "more than 0"
            self.refuse(
                path,
                f"expected {least} to {high:,g}{unit}, got {shown(value)}",
                "leave the key out if its value is not known",
            )
        return float(value)

    def origin(self, path: str, entry: dict[str, Any], default: _Origin) -> _Origin:
        """Source and date of an entry: its own, or those of the file."""
        identity, source = default.identity, default.source
        if "date" in entry:
            identity = attrs.evolve(identity, date=self.date(f"{path}.date", entry["date"]))
        if "source" in entry:
            source = self.text(f"{path}.source", entry["source"])
        return _Origin(identity=identity, source=source)
