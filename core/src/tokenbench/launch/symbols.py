"""Replaces the symbols of a plan with the values of one launch. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import EndpointSpec, FileSpec, Placement, PluginError, ProcessSpec

# Matches misspelt symbols too: they must be an error and not reach an engine as text. Any other
# brace is literal, so JSON needs no escaping (its keys are quoted).
_NAME = r"[A-Za-z0-9_.-]+"
PROCESS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""A valid name of a role: symbols contain it."""
_SYMBOL = re.compile(
    r"\{(host|hosts|index|rank|weights|cpus|devices|scratch|shared"
    rf"|(?:port|ports|file|secret|weights):{_NAME}"
    rf"|(?:leader|beside|{PROCESS_NAME.pattern}\.\d+)\.[a-z]+(?::{_NAME})?)\}}"
)
# Written to a file as a number: programs refuse a port that is a string.
_PORT = re.compile(rf"\{{(?:(?:leader|{PROCESS_NAME.pattern}\.\d+)\.)?port:{_NAME}\}}")


@attrs.frozen(kw_only=True)
class BoundProcess:
    """A process as it is executed: every symbol is replaced."""

    argv: tuple[str, ...]
    # Holds the values of secrets, so repr (and with it tracebacks and logs) leaves it out.
    environment: dict[str, str] = attrs.field(repr=False)


def bind_process(
    spec: ProcessSpec, place: str, values: Mapping[str, str], secrets: Mapping[str, str]
) -> BoundProcess:
    """Bind one process of a role.

    Args:
        place: its name, for errors.
        values: values by symbol without braces (``host``, ``port:http``, ``decode.0.host``, ...);
            see :func:`symbol_values`.
        secrets: values by name, allowed in the environment only.

    Raises:
        PluginError: an unknown symbol, or a secret in the command line.
    """
    place = f"process {place}"
    argv = [bind(part, values, f"{place}, argv") for part in (*spec.wrap, *spec.argv)]
    for flag, value in spec.flags.items():
        rendered = spec.grammar.render(flag, value)
        argv += [bind(part, values, f"{place}, {flag}") for part in rendered]
    allowed = {**values, **{f"secret:{name}": value for name, value in secrets.items()}}
    environment = {
        name: bind(text, allowed, f"{place}, variable {name}")
        for name, text in spec.environment.items()
    }
    return BoundProcess(argv=tuple(argv), environment=environment)


def bind_file(file: FileSpec, values: Mapping[str, str], where: str) -> str:
    """The text of a file. In a mapping, symbols are bound; a string that is only a port becomes a
    number.

    Raises:
        PluginError: a symbol has no value, or the file name's extension is unknown.
    """
    if isinstance(file.content, str):
        return file.content
    content = _bind_all(file.content, values, f"{where}, file {file.name}")
    return render_file(file.name, content, where)


def render_file(name: str, content: Mapping[str, Any], where: str) -> str:
    """A mapping as JSON, YAML or TOML, by the extension of the file's name.

    Raises:
        PluginError: another extension.
    """
    end = name.rpartition(".")[2]
    if end == "json":
        return json.dumps(content, indent=2) + "\n"
    if end in ("yaml", "yml"):
        import yaml

        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    if end == "toml":
        import tomli_w

        return tomli_w.dumps(content)
    raise PluginError(
        f"{where}: the file {name!r} has a mapping as content and no known format",
        hint="end its name with .json, .yaml or .toml, or give text",
    )


def _bind_all(value: Any, values: Mapping[str, str], where: str) -> Any:
    if isinstance(value, str):
        bound = bind(value, values, where)
        return int(bound) if _PORT.fullmatch(value) else bound
    if isinstance(value, Mapping):
        return {key: _bind_all(item, values, f"{where}, {key}") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_bind_all(item, values, where) for item in value]
    return value


def bind(text: str, values: Mapping[str, str], where: str) -> str:
    """Replace the symbols in `text`. `where` names the place in error messages.

    Raises:
        PluginError: a symbol has no value.
    """

    def replace(match: re.Match[str]) -> str:
        symbol = match[1]
        if symbol in values:
            return values[symbol]
        if symbol.startswith("secret:"):
            raise PluginError(
                f"{where}: the secret {symbol[7:]!r} is not available here",
                hint="secrets are allowed in environment variables only, and must be set",
            )
        raise PluginError(
            f"{where}: unknown symbol {match[0]}",
            hint="the engine plugin uses a port, role or file that its plan does not have",
        )

    return _SYMBOL.sub(replace, text)


def symbols(text: str) -> tuple[str, ...]:
    """The symbols in a text, without braces, in order."""
    return tuple(match[1] for match in _SYMBOL.finditer(text))


def symbol_values(
    placements: Sequence[Placement], processes: Sequence[ProcessSpec], own: Placement | None
) -> dict[str, str]:
    """Values by symbol, as far as placements give them: for the process at `own`, or for an
    endpoint (None).

    A launch adds ``cpus``, ``scratch``, ``shared``, ``weights``, ``weights:NAME`` and
    ``file:NAME``.
    """
    values: dict[str, str] = {}
    for place in placements:
        if place.rank == 0:
            named = _addresses(place)
            values |= {f"{place.role}.{place.index}.{key}": text for key, text in named.items()}
    if own is None:
        return values
    replica = [p for p in placements if (p.role, p.index) == (own.role, own.index)]
    values |= {f"leader.{key}": text for key, text in _addresses(replica[0]).items()}
    counts = {b.name: b.count for s in processes if s.role == own.role for b in s.ports}
    for beside in (s.beside for s in processes if s.role == own.role and s.beside is not None):
        prefix = f"{beside}.{own.index}."
        found = {key: text for key, text in values.items() if key.startswith(prefix)}
        values |= {f"beside.{key.removeprefix(prefix)}": text for key, text in found.items()}
    for name, first in own.ports.items():
        block = range(first, first + counts.get(name, 1))
        values[f"ports:{name}"] = ",".join(map(str, block))
    return values | {
        **_addresses(own),
        "hosts": ",".join(place.host.address for place in replica),
        "index": str(own.index),
        "rank": str(own.rank),
        "devices": ",".join(own.devices),
    }


def _addresses(place: Placement) -> dict[str, str]:
    ports = {f"port:{name}": str(number) for name, number in place.ports.items()}
    return {"host": place.host.address, **ports}


def of_each_process(url: str) -> bool:
    """Whether a URL has a process's own symbols, so that it stands for one URL per process."""
    return any(symbol == "host" or symbol.startswith("port:") for symbol in symbols(url))


def bind_url(endpoint: EndpointSpec, values: Mapping[str, str]) -> tuple[str, str | None]:
    """The URL and the metrics URL of an endpoint; the latter is None where it has no metrics page.

    Raises:
        PluginError: a symbol has no value.
    """
    url = bind(endpoint.url, values, f"endpoint {endpoint.role}").rstrip("/")
    return url, None if endpoint.metrics_path is None else url + endpoint.metrics_path
