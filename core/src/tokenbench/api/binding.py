"""Binding of symbols: from a plan that holds no facts of a machine to what is executed. Pure.

Launchers use it once they know hosts and ports, however late that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from .errors import PluginError
from .launch import Allocation, EndpointSpec, FlagValue, ProcessSpec

# What looks like one of our symbols, also a misspelt one, which must be an error and not reach an
# engine as text; any other brace is literal, so JSON needs no escaping (its keys are quoted).
_NAME = r"[A-Za-z0-9_.-]+"
_SYMBOL = re.compile(
    r"\{(host|weights|cpus|devices|scratch"
    rf"|(?:port|file|secret):{_NAME}"
    rf"|[A-Za-z][A-Za-z0-9_-]*\.\d+\.[a-z]+(?::{_NAME})?)\}}"
)


@attrs.frozen(kw_only=True)
class BoundProcess:
    """A process as it is executed."""

    role: str
    index: int
    argv: tuple[str, ...]
    # Secrets are bound in it: never shown by repr, so neither by a traceback nor by a log.
    environment: dict[str, str] = attrs.field(repr=False)


def bind_process(
    spec: ProcessSpec, index: int, facts: Mapping[str, str], secrets: Mapping[str, str]
) -> BoundProcess:
    """Bind one replica of a process.

    Args:
        facts: values by symbol without braces (``host``, ``port:http``, ``decode.0.host``, ...).
        secrets: values by name, allowed in the environment only.

    Raises:
        PluginError: an unknown symbol, or a secret in the command line.
    """
    place = f"process {spec.role}.{index}"
    argv = [bind(part, facts, f"{place}, argv") for part in spec.argv]
    for flag, value in spec.flags.items():
        argv += [bind(part, facts, f"{place}, {flag}") for part in render_flag(flag, value)]
    allowed = {**facts, **{f"secret:{name}": value for name, value in secrets.items()}}
    environment = {
        name: bind(text, allowed, f"{place}, variable {name}")
        for name, text in spec.environment.items()
    }
    return BoundProcess(role=spec.role, index=index, argv=tuple(argv), environment=environment)


def bind(text: str, facts: Mapping[str, str], where: str) -> str:
    """`text` with its symbols replaced.

    Raises:
        PluginError: a symbol has no value.
    """

    def replace(match: re.Match[str]) -> str:
        symbol = match[1]
        if symbol in facts:
            return facts[symbol]
        if symbol.startswith("secret:"):
            raise PluginError(
                f"{where}: the secret {symbol[7:]!r} is not available here",
                hint="secrets may stand in the environment of a process only, and must be set",
            )
        raise PluginError(
            f"{where}: nothing is known for the symbol {match[0]}",
            hint="the engine plugin names a port, role or file that its plan does not have",
        )

    return _SYMBOL.sub(replace, text)


def symbols(text: str) -> tuple[str, ...]:
    """The symbols in a text, without braces."""
    return tuple(match[1] for match in _SYMBOL.finditer(text))


def facts_of(allocation: Allocation, role: str, index: int) -> dict[str, str]:
    """Values by symbol for one replica, as far as its allocation tells: every replica's host and
    ports, its own without a prefix, and its devices.

    A launcher adds ``cpus``, ``scratch``, ``weights`` and ``file:NAME``.
    """
    facts: dict[str, str] = {}
    for place in allocation.placements:
        mine = {"host": place.host.address}
        mine |= {f"port:{name}": str(number) for name, number in place.ports.items()}
        facts |= {f"{place.role}.{place.index}.{key}": value for key, value in mine.items()}
        if (place.role, place.index) == (role, index):
            facts |= mine | {"devices": ",".join(place.devices)}
    return facts


def render_flag(flag: str, value: FlagValue) -> tuple[str, ...]:
    """A flag as arguments; see ``FlagValue``."""
    if value is None or value is False:
        return ()
    if value is True:
        return (flag,)
    if isinstance(value, tuple):
        return (flag, *map(str, value))
    return (flag, str(value))


def bind_url(endpoint: EndpointSpec, facts: Mapping[str, str]) -> tuple[str, str | None]:
    """The URL and the metrics URL of an endpoint."""
    url = bind(endpoint.url, facts, f"endpoint {endpoint.role}").rstrip("/")
    return url, None if endpoint.metrics_path is None else url + endpoint.metrics_path
