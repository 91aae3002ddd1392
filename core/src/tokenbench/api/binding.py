"""Replaces the symbols of a plan with the values of one launch. Pure.

A plan holds no host, port or path of a machine. Launchers bind it once they know them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from .errors import PluginError
from .launch import Allocation, EndpointSpec, FlagValue, ProcessSpec

# Matches misspelt symbols too: they must be an error and not reach an engine as text. Any other
# brace is literal, so JSON needs no escaping (its keys are quoted).
_NAME = r"[A-Za-z0-9_.-]+"
_SYMBOL = re.compile(
    r"\{(host|weights|cpus|devices|scratch"
    rf"|(?:port|file|secret):{_NAME}"
    rf"|[A-Za-z][A-Za-z0-9_-]*\.\d+\.[a-z]+(?::{_NAME})?)\}}"
)


@attrs.frozen(kw_only=True)
class BoundProcess:
    """A process as it is executed: every symbol is replaced."""

    role: str
    index: int
    argv: tuple[str, ...]
    # Holds the values of secrets, so repr (and with it tracebacks and logs) leaves it out.
    environment: dict[str, str] = attrs.field(repr=False)


def bind_process(
    spec: ProcessSpec, index: int, values: Mapping[str, str], secrets: Mapping[str, str]
) -> BoundProcess:
    """Bind one replica of a process.

    Args:
        values: values by symbol without braces (``host``, ``port:http``, ``decode.0.host``, ...);
            see :func:`symbol_values`.
        secrets: values by name, allowed in the environment only.

    Raises:
        PluginError: an unknown symbol, or a secret in the command line.
    """
    place = f"process {spec.role}.{index}"
    argv = [bind(part, values, f"{place}, argv") for part in spec.argv]
    for flag, value in spec.flags.items():
        argv += [bind(part, values, f"{place}, {flag}") for part in render_flag(flag, value)]
    allowed = {**values, **{f"secret:{name}": value for name, value in secrets.items()}}
    environment = {
        name: bind(text, allowed, f"{place}, variable {name}")
        for name, text in spec.environment.items()
    }
    return BoundProcess(role=spec.role, index=index, argv=tuple(argv), environment=environment)


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


def symbol_values(allocation: Allocation, role: str, index: int) -> dict[str, str]:
    """Values by symbol for one replica, as far as its allocation has them: the host and ports of
    every replica, its own without a prefix, and its devices.

    A launcher adds ``cpus``, ``scratch``, ``weights`` and ``file:NAME``.
    """
    values: dict[str, str] = {}
    for place in allocation.placements:
        own = {"host": place.host.address}
        own |= {f"port:{name}": str(number) for name, number in place.ports.items()}
        values |= {f"{place.role}.{place.index}.{key}": value for key, value in own.items()}
        if (place.role, place.index) == (role, index):
            values |= own | {"devices": ",".join(place.devices)}
    return values


def render_flag(flag: str, value: FlagValue) -> tuple[str, ...]:
    """A flag as command-line arguments; :data:`FlagValue` has the rules."""
    if value is None or value is False:
        return ()
    if value is True:
        return (flag,)
    if isinstance(value, tuple):
        return (flag, *map(str, value))
    return (flag, str(value))


def bind_url(endpoint: EndpointSpec, values: Mapping[str, str]) -> tuple[str, str | None]:
    """The URL and the metrics URL of an endpoint; the latter is None where it has no metrics page.

    Raises:
        PluginError: a symbol has no value.
    """
    url = bind(endpoint.url, values, f"endpoint {endpoint.role}").rstrip("/")
    return url, None if endpoint.metrics_path is None else url + endpoint.metrics_path
